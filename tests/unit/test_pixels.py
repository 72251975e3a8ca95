"""Pixels to tensors: rounding, colour and length are frozen."""

import time

import numpy as np
import pytest
from PIL import Image

from media_inference.errors import ErrorCode, PermanentError
from media_inference.models import clip
from media_inference.models.kinds import Pixels
from media_inference.models.pixels import letterbox, normalise, shortest_crop, unit
from media_inference.models.session import Tensor
from tests.stands.pictures import noise

SIZES = [(224, 224), (225, 224), (300, 451), (451, 300), (1137, 910), (100, 77), (50, 399), (1, 1), (2, 3)]


def reference_clip(pixels: Pixels) -> Tensor:
    """models.md, section 3, word for word."""
    image = Image.fromarray(pixels)
    short, long = sorted(image.size)
    longer = int(224 * long / short)
    image = image.resize((224, longer) if image.width <= image.height else (longer, 224), Image.Resampling.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    values = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float64) / 255
    mean = np.array([0.48145466, 0.4578275, 0.40821073])
    std = np.array([0.26862954, 0.26130258, 0.27577711])
    return np.asarray(((values - mean) / std).transpose(2, 0, 1)[None], np.float32)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_clip_input_is_that_of_the_reference(height: int, width: int) -> None:
    pixels = noise(height, width)

    tensor = normalise([shortest_crop(pixels, 224)], np.array(clip.MEAN, np.float32), np.array(clip.STD, np.float32))

    assert tensor.shape == (1, 3, 224, 224)
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor, reference_clip(pixels), atol=2e-5)


def test_a_needle_of_a_picture_is_cut_before_it_is_enlarged() -> None:
    start = time.perf_counter()

    assert shortest_crop(noise(1, 20_000), 224).shape == (224, 224, 3)
    assert shortest_crop(noise(20_000, 1), 224).shape == (224, 224, 3)

    assert time.perf_counter() - start < 1  # 3 GB and 50 s when it is enlarged first


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
