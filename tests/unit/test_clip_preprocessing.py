"""CLIP's input to the last digit: against Pillow, against the formula of its filter, and against stored hashes."""

import io
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from media_inference.media.decoder import Decoder
from media_inference.models import clip
from media_inference.models.clip import CLIP_VIT_B_32, CLIP_VIT_B_32_INT8, CLIP_VIT_B_32_LAION2B
from media_inference.models.embedder import Embedder
from media_inference.models.kinds import Pixels
from media_inference.models.model import Model
from media_inference.models.pixels import normalise, shortest_crop
from media_inference.models.session import Tensor
from media_inference.runtime.session import OrtSession
from tests.stands.clip_reference import clip_tensor, crop_by_pillow, crops_by_formula
from tests.stands.pictures import noise, picture
from tests.stands.window_graph import given, window_graph

SIZES = {
    "the size itself": (224, 224),
    "one more row": (225, 224),
    "odd sides": (301, 453),
    "odd sides, upright": (453, 301),
    "1:3": (200, 600),
    "3:1": (600, 200),
    "1:3, odd": (333, 1001),
    "square": (500, 500),
    "tiny": (50, 77),
    "tiny and narrow": (13, 100),
    "one pixel": (1, 1),
    "a few pixels": (2, 3),
    "336.75 rounds to 337, not to 336": (300, 451),
    "upright, the same": (451, 300),
    "337.17": (481, 724),
    "a third of a pixel": (333, 500),
    "large": (1201, 897),
}
PHOTOS = (
    "astronaut.png", "biden_1.jpg", "cat.png", "coffee.png", "obama_1.jpg", "obama_1_240p.jpg", "obama_2.jpg",
    "obama_and_biden.jpg", "rocket.jpg",
)  # fmt: skip

GOLDEN = {
    (640, 480): "5496831260c9996aa338fdc6eeccc398",
    (301, 453): "82ced662b1d843c9e4bbd865d27a684f",
    (97, 61): "ba8757356916e9a2e5deccc06027c640",
    (224, 224): "e53efd4827968cbfb074c352517765df",
}
"""First half of the sha256 of `crop_by_pillow(woven(*size)).tobytes()`, made with Pillow 13.0 on x86-64.

Its resampling of 8-bit pictures is integer arithmetic, so the bytes are the same everywhere.
"""


def woven(height: int, width: int) -> Pixels:
    """A picture with slopes, edges and fine texture, from integers alone."""
    y, x, colour = np.mgrid[0:height, 0:width, 0:3]
    return np.asarray((x * 3 + y * 5 + colour * 85 + (x * y) // 7 + 90 * ((x // 16 + y // 16) % 2)) % 256, np.uint8)


def difference(one: NDArray[np.number], *others: NDArray[np.number]) -> float:
    """The largest, in units of 0..255; of several others the nearest counts."""
    return min(float(np.abs(one.astype(np.float64) - other).max()) for other in others)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("make", [noise, woven])
def test_the_crop_is_that_of_both_references(size: tuple[int, int], make: Callable[[int, int], Pixels]) -> None:
    pixels = make(*size)

    crop = shortest_crop(pixels, 224)

    assert crop.shape == (224, 224, 3)
    assert difference(crop, crop_by_pillow(pixels)) == 0
    assert difference(crop, *crops_by_formula(pixels)) == 0


@pytest.mark.parametrize("name", PHOTOS)
def test_the_crop_of_a_photo_is_that_of_both_references(shared: Path, name: str) -> None:
    pixels = picture(shared / "photos" / name)

    crop = shortest_crop(pixels, 224)

    assert difference(crop, crop_by_pillow(pixels)) == 0
    assert difference(crop, *crops_by_formula(pixels)) == 0


@pytest.mark.parametrize("size", GOLDEN)
def test_the_crop_is_the_one_that_was_frozen(size: tuple[int, int]) -> None:
    assert sha256(shortest_crop(woven(*size), 224).tobytes()).hexdigest()[:32] == GOLDEN[size]


def test_the_formula_tells_other_filters_apart() -> None:
    """Without antialias, with another filter or another rounding, the references would disagree."""
    pixels = woven(300, 451)
    image, truth = Image.fromarray(pixels), crops_by_formula(pixels)
    others = {
        "bilinear": image.resize((336, 224), Image.Resampling.BILINEAR).crop((56, 0, 280, 224)),
        "lanczos": image.resize((336, 224), Image.Resampling.LANCZOS).crop((56, 0, 280, 224)),
        "rounded": image.resize((337, 224), Image.Resampling.BICUBIC).crop((56, 0, 280, 224)),
        "a pixel off": image.resize((336, 224), Image.Resampling.BICUBIC).crop((57, 0, 281, 224)),
    }

    assert min(difference(np.asarray(other), *truth) for other in others.values()) > 20


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_the_tensor_is_that_of_the_reference(size: tuple[int, int]) -> None:
    pixels = noise(*size)

    tensor = normalise([shortest_crop(pixels, 224)], np.array(clip.MEAN, np.float32), np.array(clip.STD, np.float32))

    assert tensor.shape == (1, 3, 224, 224)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    np.testing.assert_allclose(tensor, clip_tensor(pixels), atol=2e-5)


@pytest.mark.parametrize("model", [CLIP_VIT_B_32, CLIP_VIT_B_32_LAION2B, CLIP_VIT_B_32_INT8], ids=lambda m: str(m.name))
def test_the_entry_gives_its_graph_the_numbers_of_the_reference(model: Model, shared: Path) -> None:
    """The graph hands on what it was given: a swapped colour, a moved crop, other units of the mean all show."""
    graph, window = window_graph((3, 224, 224))
    network = model.network(model.name, {"model.onnx": OrtSession(graph, model=model.name, threads=1)})
    assert isinstance(network, Embedder)
    pixels = [picture(shared / "photos" / name) for name in ("coffee.png", "obama_2.jpg", "astronaut.png")]

    seen = given(network.embed(pixels))

    expected: Tensor = np.concatenate([clip_tensor(each) for each in pixels]).reshape(3, -1)[:, window]
    np.testing.assert_allclose(seen, expected, atol=5e-5)


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "P", "L", "I;16"])
def test_every_mode_reaches_the_network_as_8_bit_rgb(mode: str) -> None:
    """What the decoder makes of a mode is what the reference makes of the same colours in plain RGB."""
    image, plain = _in_mode(mode)
    file = io.BytesIO()
    image.save(file, "TIFF" if mode in {"CMYK", "I;16"} else "PNG")
    decoder = Decoder()
    try:
        pixels = decoder.decode(file.getvalue(), short_side=448).pixels
    finally:
        decoder.close()

    assert pixels.dtype == np.uint8
    assert difference(shortest_crop(pixels, 224), crop_by_pillow(plain)) <= 1


def _in_mode(mode: str) -> tuple[Image.Image, Pixels]:
    """A picture in a mode, and what it is to look like."""
    base = woven(301, 453)
    match mode:
        case "RGBA":
            alpha = np.where(np.arange(453) < 200, 255, 0).astype(np.uint8)
            image = Image.fromarray(np.dstack([base, np.broadcast_to(alpha, (301, 453))]))
            return image, np.where(alpha[None, :, None] == 255, base, np.uint8(255))
        case "I;16":
            grey = base[:, :, 0]
            return Image.fromarray(grey.astype(np.uint16) * 257), np.dstack([grey] * 3)
        case "L":
            return Image.fromarray(base[:, :, 0]), np.dstack([base[:, :, 0]] * 3)
        case "P":
            palette = Image.fromarray(base).quantize(64)
            return palette, np.asarray(palette.convert("RGB"))
        case _:
            image = Image.fromarray(base).convert(mode)
            return image, np.asarray(image.convert("RGB"))
