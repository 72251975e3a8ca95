"""What must come of each file of ../shared, as one table."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from media_inference.errors import ErrorCode, PermanentError
from media_inference.media.decoder import Decoder
from media_inference.models.embedder import Embedder
from media_inference.models.gabor import GABOR_512
from media_inference.models.kinds import Pixels
from media_inference.models.yunet import YuNet
from tests.stands.model_files import load_embedder, load_yunet

Colour = tuple[int, int, int]


class Row(NamedTuple):
    """``colour``: mean of red, green and blue as other programs (OpenCV, for the first ten) decode the file."""

    name: str
    size: tuple[int, int]
    colour: Colour
    faces: int | None = None


TABLE = (
    Row("formats/animated.gif", (320, 240), (250, 251, 247)),
    Row("formats/cmyk.jpg", (100, 100), (31, 6, 8)),
    Row("formats/exif_landscape_1.jpg", (1800, 1200), (98, 116, 134)),
    Row("formats/exif_landscape_3.jpg", (1800, 1200), (98, 116, 134)),
    Row("formats/exif_landscape_6.jpg", (1800, 1200), (98, 116, 134)),
    Row("formats/exif_landscape_8.jpg", (1800, 1200), (98, 116, 134)),
    Row("formats/face.avif", (128, 128), (90, 80, 96), faces=1),
    Row("formats/face.webp", (128, 128), (90, 80, 96), faces=1),
    Row("formats/face_exif6.jpg", (128, 128), (90, 80, 95), faces=1),
    Row("photos/cat.png", (451, 300), (148, 111, 87), faces=0),
    Row("formats/gray16.tif", (64, 64), (96, 96, 96)),  # 291 to 694, of 1023
    Row("formats/palette_alpha.gif", (100, 100), (255, 189, 189)),  # red, a quarter of it; the rest is paper
    Row("formats/pug.heic", (4032, 3024), (164, 159, 153)),
    Row("formats/rgb8.heif", (128, 128), (128, 128, 128)),
    Row("photos/astronaut.png", (512, 512), (142, 106, 96), faces=1),
    Row("photos/biden_1.jpg", (970, 2204), (71, 63, 56), faces=1),
    Row("photos/coffee.png", (600, 400), (159, 86, 52), faces=0),
    Row("photos/obama_1.jpg", (910, 1137), (95, 72, 75), faces=1),
    Row("photos/obama_1_240p.jpg", (427, 240), (47, 35, 36), faces=1),
    Row("photos/obama_2.jpg", (626, 1200), (89, 65, 70), faces=1),
    Row("photos/obama_and_biden.jpg", (1126, 661), (103, 93, 87), faces=2),
    Row("photos/rocket.jpg", (640, 427), (42, 58, 82), faces=0),
)
REFUSED = {
    "formats/truncated.jpg": ErrorCode.IMAGE_CORRUPT,
    "formats/bomb.gif": ErrorCode.IMAGE_TOO_LARGE,
    "photos/README.md": ErrorCode.UNSUPPORTED_FORMAT,
}


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    opened = Decoder()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def yunet(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> YuNet:
    return load_yunet(tmp_path_factory.mktemp("models"), shared)


@cache
def gabor() -> Embedder:
    return load_embedder(GABOR_512)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_file_decodes_to_its_picture(decoder: Decoder, shared: Path, yunet: YuNet, row: Row) -> None:
    picture = decoder.decode((shared / row.name).read_bytes())

    assert (picture.full_width, picture.full_height) == row.size
    assert picture.pixels.mean(axis=(0, 1)) == pytest.approx(row.colour, abs=2)
    if row.faces is not None:
        assert len(yunet.detect(picture.pixels)) == row.faces


@pytest.mark.parametrize(("name", "code"), REFUSED.items())
def test_a_file_is_refused_with_its_code(decoder: Decoder, shared: Path, name: str, code: ErrorCode) -> None:
    with pytest.raises(PermanentError) as caught:
        decoder.decode((shared / name).read_bytes())
    assert caught.value.code == code


def test_the_table_has_every_file(shared: Path) -> None:
    files = {f"{folder}/{path.name}" for folder in ("formats", "photos") for path in (shared / folder).iterdir()}
    assert {row.name for row in TABLE} | set(REFUSED) == files


def test_one_picture_in_four_orientations_has_one_vector(decoder: Decoder, shared: Path) -> None:
    def upright(orientation: int) -> Pixels:
        return decoder.decode((shared / "formats" / f"exif_landscape_{orientation}.jpg").read_bytes()).pixels

    vectors = gabor().embed([upright(orientation) for orientation in (1, 3, 6, 8)])
    assert (np.asarray(vectors) @ np.asarray(vectors)[0]).min() > 0.999


def test_the_first_frame_of_an_animation_is_its_picture(decoder: Decoder, shared: Path) -> None:
    """The whole file and its first frame alone."""
    content = (shared / "formats" / "animated.gif").read_bytes()
    second = content.index(b"\x21\xf9\x04", content.index(b"\x21\xf9\x04") + 1)
    alone = decoder.decode(content[:second] + b";").pixels
    assert (decoder.decode(content).pixels == alone).all()
