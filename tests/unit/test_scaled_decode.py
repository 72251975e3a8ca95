"""A JPEG that is decoded smaller than it is gives the vector of the full decode."""

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from media_inference.media.decoder import Decoder
from media_inference.media.picture import Picture
from media_inference.models.clip import CLIP_VIT_B_32, MEAN, STD
from media_inference.models.embedder import Embedder
from media_inference.models.gabor import GABOR_512
from media_inference.models.kinds import Pixels
from media_inference.models.pixels import normalise, shortest_crop
from media_inference.models.session import Tensor
from media_inference.runtime.session import OrtSession
from tests.stands.clip_reference import clip_tensor
from tests.stands.model_files import load_embedder
from tests.stands.pictures import picture
from tests.stands.vit_b_32 import vit_b_32_graph

pytestmark = pytest.mark.slow

PHOTOS = (
    "astronaut.png", "biden_1.jpg", "cat.png", "coffee.png", "obama_1.jpg", "obama_1_240p.jpg", "obama_2.jpg",
    "obama_and_biden.jpg", "rocket.jpg",
)  # fmt: skip
PIXELS = 12e6
SHORTEST = 2 * 224
CLOSE = 0.999
STORED_AS = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
"""EXIF orientations, and how the stored picture is turned against the upright one."""


class Likeness(NamedTuple):
    """Cosines of what comes of the scaled decode with what comes of the full one."""

    tensor: float
    clip: float
    gabor: float


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    decoder = Decoder()
    yield decoder
    decoder.close()


@cache
def clip_network() -> Embedder:
    """CLIP's catalogue entry around random weights; four layers hang on the pixels as twelve do, and are quicker."""
    network = CLIP_VIT_B_32.network(
        CLIP_VIT_B_32.name, {"model.onnx": OrtSession(vit_b_32_graph(layers=4), model="vit", threads=1)}
    )
    assert isinstance(network, Embedder)
    return network


@cache
def gabor_network() -> Embedder:
    return load_embedder(GABOR_512)


def blown_up(pixels: Pixels, multiple_of: int, more: int = 0) -> Pixels:
    """12 megapixels, both sides a multiple of something, as cameras make them, and ``more`` pixels."""
    rows, columns = pixels.shape[:2]
    scale = (PIXELS / (rows * columns)) ** 0.5
    width, height = (round(side * scale / multiple_of) * multiple_of + more for side in (columns, rows))
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def jpeg(pixels: Pixels, *, orientation: int = 1, subsampling: str = "4:2:0") -> bytes:
    turn = STORED_AS[orientation]
    image = Image.fromarray(pixels)
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    stored = image if turn is None else image.transpose(turn)
    stored.save(file, "JPEG", quality=92, subsampling=subsampling, exif=exif)
    return file.getvalue()


def tensor_of(scaled: Picture) -> Tensor:
    crop = shortest_crop(scaled.pixels, 224, extent=scaled.extent)
    return np.asarray(normalise([crop], np.array(MEAN, np.float32), np.array(STD, np.float32))[0])


def likeness(full: Pixels, scaled: Picture) -> Likeness:
    """The tensor's numbers without their mean, or the common light of two pictures would pass for likeness."""
    one, other = (tensor - tensor.mean() for tensor in (clip_tensor(full)[0], tensor_of(scaled)))
    pictures, extents = [full, scaled.pixels], [(full.shape[1], full.shape[0]), scaled.extent]
    clip, gabor = (network.embed(pictures, extents) for network in (clip_network(), gabor_network()))
    cosine = float((one * other).sum() / np.sqrt((one * one).sum() * (other * other).sum()))
    return Likeness(cosine, float(clip[0] @ clip[1]), float(gabor[0] @ gabor[1]))


@pytest.mark.parametrize("more", [0, 1, 5])
@pytest.mark.parametrize("photo", PHOTOS)
def test_a_photo_of_12_megapixels_keeps_its_vector(decoder: Decoder, shared: Path, photo: str, more: int) -> None:
    """Whether a smaller decode divides its sides or leaves pixels over."""
    content = jpeg(blown_up(picture(shared / "photos" / photo), 8, more))

    scaled, full = decoder.decode(content, short_side=SHORTEST), decoder.decode(content)

    assert full.is_full
    assert not scaled.is_full
    assert min(likeness(full.pixels, scaled)) >= CLOSE


@pytest.mark.parametrize("size", [(7177, 897), (1125, 10001)])
def test_a_panorama_with_odd_sides_keeps_its_vector(decoder: Decoder, shared: Path, size: tuple[int, int]) -> None:
    """Of what is longer than eight times its width a network sees the middle."""
    pixels = picture(shared / "photos" / "rocket.jpg")
    content = jpeg(np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)))

    scaled, full = decoder.decode(content, short_side=SHORTEST), decoder.decode(content)

    assert min(likeness(full.pixels, scaled)) >= CLOSE


@pytest.mark.parametrize(("orientation", "subsampling"), [(1, "4:4:4"), (3, "4:2:0"), (6, "4:2:0"), (8, "4:4:4")])
def test_a_turned_photo_keeps_its_vector(decoder: Decoder, shared: Path, orientation: int, subsampling: str) -> None:
    pixels = blown_up(picture(shared / "photos" / "obama_and_biden.jpg"), 8)
    content = jpeg(pixels, orientation=orientation, subsampling=subsampling)

    scaled = decoder.decode(content, short_side=SHORTEST)

    assert not scaled.is_full
    assert min(likeness(pixels, scaled)) >= CLOSE


@pytest.mark.parametrize(("photo", "scale"), [("astronaut.png", 8), ("biden_1.jpg", 4), ("rocket.jpg", 4)])
def test_a_photo_at_the_limit_keeps_its_vector(decoder: Decoder, shared: Path, photo: str, scale: int) -> None:
    """The least that may be decoded: a shorter side of 448."""
    pixels = picture(shared / "photos" / photo)
    rows, columns = pixels.shape[:2]
    width, height = (round(SHORTEST * side / min(rows, columns)) * scale for side in (columns, rows))
    content = jpeg(np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)))

    scaled, full = decoder.decode(content, short_side=SHORTEST), decoder.decode(content)

    assert min(scaled.width, scaled.height) == SHORTEST
    assert min(likeness(full.pixels, scaled)) >= CLOSE
