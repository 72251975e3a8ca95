"""Pixels to tensors: rounding, colour and length are frozen."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from media_inference.errors import ErrorCode, PermanentError
from media_inference.models.kinds import Extent, Pixels
from media_inference.models.pixels import Interpolation, letterbox, normalise, pad, resize, shortest_crop, unit
from tests.stands.pictures import noise


def test_a_needle_of_a_picture_is_cut_before_it_is_enlarged() -> None:
    start = time.perf_counter()

    assert shortest_crop(noise(1, 20_000), 224).shape == (224, 224, 3)
    assert shortest_crop(noise(20_000, 1), 224).shape == (224, 224, 3)

    assert time.perf_counter() - start < 10  # 3 GB and 50 s when it is enlarged first


def test_a_tensor_is_the_formula_in_float32_to_the_last_bit() -> None:
    mean, std = np.array([122.7, 116.7, 104.1], np.float32), np.array([68.5, 66.6, 70.3], np.float32)
    pictures = [noise(6, 9)[:, 2:7], noise(6, 5)]

    tensor = normalise(pictures, mean, std)

    assert tensor.flags.c_contiguous
    assert tensor.dtype == np.float32
    expected = (np.asarray(pictures, np.float32) - mean) / std
    np.testing.assert_array_equal(tensor, expected.transpose(0, 3, 1, 2))


def _cropped(picture: Pixels, extent: Extent | None) -> Pixels:
    return shortest_crop(picture, 64, extent=extent)


def _padded(picture: Pixels, extent: Extent | None) -> Pixels:
    return pad(picture, 64, Interpolation.BICUBIC, extent)


def _whole(picture: Pixels, extent: Extent | None) -> Pixels:
    return resize(picture, 64, 64, extent=extent)


@pytest.mark.parametrize("fitted", [_cropped, _padded, _whole])
@pytest.mark.parametrize(("width", "height"), [(1001, 1003), (1607, 1025), (1025, 1607)])
def test_a_smaller_copy_with_its_extent_is_fitted_as_the_picture(
    fitted: Callable[[Pixels, Extent | None], Pixels], width: int, height: int
) -> None:
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [127 + 120 * np.sin(place / 40) for place in (columns, rows, rows + columns)]
    picture = np.stack(waves, axis=2).astype(np.uint8)
    small = np.asarray(Image.fromarray(picture).reduce(8))

    def off(extent: Extent | None) -> int:
        return int(np.abs(fitted(small, extent).astype(int) - fitted(picture, None)).max())

    assert off((width / 8, height / 8)) <= 8
    assert off(None) > 8, "without it the picture is stretched: else this test would see nothing"


def test_the_middle_of_a_needle_is_what_remains() -> None:
    needle = np.zeros((10, 1001, 3), np.uint8)
    needle[:, 500] = 255

    crop = shortest_crop(needle, 224)

    columns = np.flatnonzero(crop[112, :, 0] > 128)
    assert abs(columns.mean() - 111.5) < 12  # one source pixel is 22 wide


@pytest.mark.parametrize(("height", "width"), [(1200, 626), (240, 427), (640, 640), (1, 5000), (1, 1)])
def test_a_letterbox_leads_back_to_the_corner_of_the_picture(height: int, width: int) -> None:
    canvas, back = letterbox(np.full((height, width, 3), 255, np.uint8), 640, 640)

    assert canvas.shape == (640, 640, 3)
    lit = np.argwhere(canvas[:, :, 0] > 0)
    assert lit.min() == 0
    assert max(lit.max(axis=0) + 1) == 640
    np.testing.assert_allclose((lit.max(axis=0) + 1)[::-1] * back, [width, height], rtol=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "top", "left"),
    [(100, 50, 0, 56), (50, 100, 56, 0), (100, 99, 0, 1), (64, 64, 0, 0), (1, 900, 111, 0), (900, 1, 0, 111)],
)
def test_a_padded_picture_is_whole_and_in_the_middle(height: int, width: int, top: int, left: int) -> None:
    square = pad(np.full((height, width, 3), 255, np.uint8), 224, Interpolation.BICUBIC)

    assert square.shape == (224, 224, 3)
    lit = np.argwhere(square[:, :, 0] > 0)
    assert tuple(lit.min(axis=0)) == (top, left)
    assert all(abs(224 - 1 - end - start) <= 1 for start, end in zip((top, left), lit.max(axis=0), strict=True))


@pytest.mark.parametrize(
    ("interpolation", "reference"),
    [(Interpolation.BICUBIC, Image.Resampling.BICUBIC), (Interpolation.BILINEAR, Image.Resampling.BILINEAR)],
)
def test_an_interpolation_is_pillows_filter_of_that_name(
    interpolation: Interpolation, reference: Image.Resampling
) -> None:
    pixels = noise(100, 300)
    small = np.asarray(Image.fromarray(pixels).resize((224, 75), reference))
    tall = np.asarray(Image.fromarray(pixels).resize((672, 224), reference))

    np.testing.assert_array_equal(pad(pixels, 224, interpolation)[74:149], small)
    np.testing.assert_array_equal(shortest_crop(pixels, 224, interpolation), tall[:, 224:448])


def test_unit_vectors_have_length_one() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(5, 512)).astype(np.float32) * 1e4)

    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_vector_that_is_zero_or_not_finite_is_refused(bad: float) -> None:
    vectors = np.ones((3, 512), np.float32)
    vectors[1] = bad

    with pytest.raises(PermanentError, match="no usable vector") as caught:
        unit(vectors)

    assert caught.value.code is ErrorCode.INTERNAL
