"""Files that are closed properly and lack a part of their picture: none passes for a whole one."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media_inference.errors import ErrorCode, PermanentError
from media_inference.media.decoder import Decoder
from media_inference.media.sandbox import jpeg_end
from tests.corpus.good import photo, saved
from tests.corpus.parts import grey_tiff, png, png_chunk, tiff

END = b"\xff\xd9"
JPEGS = {
    "baseline": saved(photo(), "JPEG"),
    "fine colours": saved(photo(), "JPEG", subsampling="4:4:4"),
    "grey": saved(photo().convert("L"), "JPEG"),
    "cmyk": saved(photo().convert("CMYK"), "JPEG"),
    "restarts": saved(photo(), "JPEG", restart_marker_blocks=3),
}


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    opened = Decoder()
    yield opened
    opened.close()


def refused(decoder: Decoder, content: bytes) -> bool:
    try:
        decoder.decode(content)
    except PermanentError as error:
        return error.code == ErrorCode.IMAGE_CORRUPT
    return False


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_ended_too_early_is_image_corrupt(decoder: Decoder, name: str) -> None:
    """Pillow raises when a file is cut off, but not when an end is put behind the cut.

    What lacks no more than the colour or an unseen part of its last block is not held to be half a picture.
    """
    whole = JPEGS[name]
    start = whole.index(b"\xff\xda") + 20
    last = (len(whole) - start) // 20
    cuts = range(start, len(whole) - last, max(1, last // 3))
    assert [cut for cut in cuts if not refused(decoder, whole[:cut] + END)] == []


def test_a_jpeg_that_says_more_rows_than_it_has_is_image_corrupt(decoder: Decoder) -> None:
    whole = JPEGS["baseline"]
    at = whole.index(b"\xff\xc0") + 5
    assert refused(decoder, whole[:at] + struct.pack(">H", 880) + whole[at + 2 :])


def test_a_short_jpeg_is_told_when_it_is_decoded_smaller(decoder: Decoder) -> None:
    whole = saved(photo().resize((960, 704)), "JPEG")
    assert decoder.decode(whole, short_side=80).width == 120
    with pytest.raises(PermanentError):
        decoder.decode(whole[: len(whole) // 2] + END, short_side=80)


@pytest.mark.parametrize("grey", [126, 128, 130])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"subsampling": "4:2:0"}])
def test_a_grey_jpeg_is_whole(decoder: Decoder, grey: int, options: dict[str, object]) -> None:
    picture = decoder.decode(saved(Image.new("RGB", (121, 89), (grey, grey, grey)), "JPEG", **options))
    assert np.abs(picture.pixels.astype(int) - grey).max() <= 2


def test_no_real_jpeg_is_taken_for_a_short_one(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with the exact look, which is only taken at pictures that end in grey."""
    monkeypatch.setattr(jpeg_end, "_ends_in_grey", lambda _: True)
    files = [*(shared / "photos").glob("*.jpg"), *(shared / "formats").glob("[!t]*.jpg")]
    assert len(files) > 9
    for path in files:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            again = [content, saved(image, "JPEG", progressive=True), saved(image, "JPEG", restart_marker_rows=1)]
        for whole in again:
            with Image.open(io.BytesIO(whole)) as image:
                image.load()
                assert not jpeg_end.ends_early(image, io.BytesIO(whole)), path
                cut = whole[: len(whole) * 2 // 3] + END
                assert whole is again[1] or jpeg_end.ends_early(image, io.BytesIO(cut)), path


def test_of_several_pictures_in_a_jpeg_only_the_first_must_be_whole(decoder: Decoder) -> None:
    two = saved(Image.new("RGB", (64, 64), (128, 128, 128)), "MPO", save_all=True, append_images=[photo()])
    assert not refused(decoder, two)
    assert not refused(decoder, two[: len(two) - 500])


@pytest.mark.parametrize("missing", [0, 1, 9, 40])
def test_a_png_without_its_last_rows_is_image_corrupt(decoder: Decoder, missing: int) -> None:
    light = (b"\0" + b"\xc8" * 8) * 8
    assert refused(decoder, png(8, 8, light[: len(light) - missing], colour=0)) == (missing > 0)


@pytest.mark.parametrize("missing", [0, 1, 30])
def test_an_interlaced_png_without_its_last_rows_is_image_corrupt(decoder: Decoder, missing: int) -> None:
    """9 x 9 in seven passes."""
    sizes = [(2, 2), (1, 2), (3, 1), (2, 3), (5, 2), (4, 5), (9, 4)]
    passes = b"".join((b"\0" + b"\xc8" * width) * height for width, height in sizes)
    content = png(9, 9, passes[: len(passes) - missing], colour=0, interlaced=1)
    assert refused(decoder, content) == (missing > 0)


@pytest.mark.parametrize(("bits", "colour"), [(1, 0), (2, 3), (4, 3), (8, 2), (8, 6), (16, 0), (16, 2), (16, 4)])
@pytest.mark.parametrize("interlaced", [0, 1])
def test_a_black_png_is_whole(decoder: Decoder, bits: int, colour: int, interlaced: int) -> None:
    depth = bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    across = [(0, 8), (4, 8), (0, 4), (2, 4), (0, 2), (1, 2), (0, 1)] if interlaced else [(0, 1)]
    down = [(0, 8), (0, 8), (4, 8), (0, 4), (2, 4), (0, 2), (1, 2)] if interlaced else [(0, 1)]
    black = b""
    for (left, right_step), (top, down_step) in zip(across, down, strict=True):
        width, height = len(range(left, 13, right_step)), len(range(top, 11, down_step))
        black += bytes((1 + (width * depth + 7) // 8) * height)
    palette = png_chunk(b"PLTE", bytes(12)) if colour == 3 else b""
    assert not refused(decoder, png(13, 11, black, extra=palette, bits=bits, colour=colour, interlaced=interlaced))
    assert refused(decoder, png(13, 11, black[:-1], extra=palette, bits=bits, colour=colour, interlaced=interlaced))


@pytest.mark.parametrize(("offsets", "whole"), [(1, False), (3, False), (4, True), (5, True)])
def test_a_tiff_without_its_last_strips_is_image_corrupt(decoder: Decoder, *, offsets: int, whole: bool) -> None:
    pixels = b"\xc8" * 64
    places = struct.pack(f"<{offsets}I", *(8 + 16 * (number % 4) for number in range(offsets)))
    entries = {tag: value for tag, value in grey_tiff(8, 8, t278=2, t279=16).items() if tag != 273}
    place = 8 + len(pixels) if offsets > 1 else 8
    assert refused(decoder, tiff(entries, strip=pixels + places, more=[(273, 4, offsets, place)])) != whole


def test_a_jpeg_2000_without_some_tiles_is_image_corrupt(decoder: Decoder) -> None:
    whole = saved(photo(), "JPEG2000", no_jp2=True, tile_size=(40, 40))
    at = whole.index(b"\xff\x51") + 6
    larger = whole[:at] + struct.pack(">II", 120, 300) + whole[at + 8 :]
    for content in (whole, saved(photo(), "JPEG2000", tile_size=(64, 64)), saved(photo(), "JPEG2000")):
        assert not refused(decoder, content)
    assert refused(decoder, larger)


@pytest.mark.parametrize("sides", [{}, {"short_side": 100}, {"long_side": 100}])
def test_a_png_with_a_line_that_can_not_be_read_is_image_corrupt_whatever_is_wanted(
    decoder: Decoder, sides: dict[str, int]
) -> None:
    width, height = 1201, 1001
    lines = [bytes([9 if row == 400 else 0]) + bytes(3 * width) for row in range(height)]
    with pytest.raises(PermanentError) as caught:
        decoder.decode(png(width, height, b"".join(lines)), **sides)
    assert caught.value.code == ErrorCode.IMAGE_CORRUPT
