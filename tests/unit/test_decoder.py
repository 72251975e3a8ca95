"""Which files become which pixels."""

import io
import math
import struct
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from media_inference.errors import ErrorCode, PermanentError
from media_inference.media.decoder import Decoder
from media_inference.media.jpeg import encode_jpeg
from media_inference.media.sandbox.protocol import Limits
from media_inference.processes.media import open_decoder
from media_inference.settings import load_settings
from tests.corpus.parts import gif_frame

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    opened = Decoder(max_bytes=10_000_000)
    yield opened
    opened.close()


def _refusal(decoder: Decoder, content: bytes, *, short_side: int | None = None) -> ErrorCode:
    with pytest.raises(PermanentError) as caught:
        decoder.decode(content, short_side=short_side)
    return caught.value.code


def _saved(image: Image.Image, name: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def _difference(one: Pixels, other: Pixels) -> float:
    """Mean absolute difference of two pictures, both brought to 64 x 64."""
    small = [np.asarray(Image.fromarray(pixels).resize((64, 64)), dtype=np.float32) for pixels in (one, other)]
    return float(np.abs(small[0] - small[1]).mean())


@pytest.mark.parametrize(
    ("name", "width", "height"),
    [
        ("formats/animated.gif", 320, 240),
        ("formats/cmyk.jpg", 100, 100),
        ("formats/exif_landscape_1.jpg", 1800, 1200),
        ("formats/exif_landscape_6.jpg", 1800, 1200),
        ("formats/face.avif", 128, 128),
        ("formats/face.webp", 128, 128),
        ("formats/face_exif6.jpg", 128, 128),
        ("formats/gray16.tif", 64, 64),
        ("formats/palette_alpha.gif", 100, 100),
        ("formats/pug.heic", 4032, 3024),
        ("formats/rgb8.heif", 128, 128),
        ("photos/astronaut.png", 512, 512),
        ("photos/biden_1.jpg", 970, 2204),
        ("photos/rocket.jpg", 640, 427),
    ],
)
def test_a_format_of_photo_libraries_decodes(
    decoder: Decoder, shared: Path, name: str, width: int, height: int
) -> None:
    picture = decoder.decode((shared / name).read_bytes())
    assert picture.pixels.shape == (height, width, 3)
    assert picture.pixels.dtype == np.uint8
    assert (picture.full_width, picture.full_height) == (width, height)
    assert (picture.scale, picture.extent) == (1, (width, height))
    assert picture.pixels.std() > 3, "a picture, not a plain colour"


@pytest.mark.parametrize("name", ["PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "JPEG", "MPO"])
def test_what_pillow_writes_decodes_to_the_same_picture(decoder: Decoder, shared: Path, name: str) -> None:
    with Image.open(shared / "photos" / "coffee.png") as image:
        original = image.convert("RGB").resize((300, 200))
    picture = decoder.decode(_saved(original, name))
    assert _difference(picture.pixels, np.asarray(original)) < 5


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("nothing", b"", ErrorCode.IMAGE_CORRUPT),
        ("text", b"not a picture at all\n" * 10, ErrorCode.UNSUPPORTED_FORMAT),
        ("one byte", b"\xff", ErrorCode.UNSUPPORTED_FORMAT),
        ("svg", b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', ErrorCode.UNSUPPORTED_FORMAT),
        ("pdf", b"%PDF-1.7\n1 0 obj\n", ErrorCode.UNSUPPORTED_FORMAT),
        ("eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", ErrorCode.UNSUPPORTED_FORMAT),
        ("psd", b"8BPS\x00\x01" + bytes(60), ErrorCode.UNSUPPORTED_FORMAT),
        ("icns", b"icns" + bytes(60), ErrorCode.UNSUPPORTED_FORMAT),
        ("mp4", b"\x00\x00\x00\x18ftypmp42" + bytes(60), ErrorCode.UNSUPPORTED_FORMAT),
        ("wav", b"RIFF\x00\x00\x00\x00WAVE" + bytes(60), ErrorCode.UNSUPPORTED_FORMAT),
        ("head of a jpeg", b"\xff\xd8\xff\xe0", ErrorCode.IMAGE_CORRUPT),
        ("head of a png", b"\x89PNG\r\n\x1a\n", ErrorCode.IMAGE_CORRUPT),
        ("head of a gif", b"GIF89a", ErrorCode.IMAGE_CORRUPT),
        ("head of a webp", b"RIFF\x10\x00\x00\x00WEBPVP8 ", ErrorCode.IMAGE_CORRUPT),
        ("head of a heic", b"\x00\x00\x00\x14ftypheic\x00\x00\x00\x00mif1", ErrorCode.IMAGE_CORRUPT),
        ("head of an avif", b"\x00\x00\x00\x14ftypavif\x00\x00\x00\x00mif1", ErrorCode.IMAGE_CORRUPT),
        ("rubbish behind a tiff's head", b"II*\x00" + b"\xff" * 500, ErrorCode.IMAGE_CORRUPT),
        ("rubbish behind a bmp's head", b"BM" + b"\xff" * 500, ErrorCode.IMAGE_CORRUPT),
        ("more bytes than are allowed", b"\xff\xd8\xff" + bytes(10_000_000), ErrorCode.IMAGE_TOO_LARGE),
    ],
)
def test_what_is_no_picture_is_refused(decoder: Decoder, name: str, content: bytes, code: ErrorCode) -> None:
    assert _refusal(decoder, content) == code


@pytest.mark.parametrize("short_side", [None, 10])
def test_a_truncated_jpeg_is_image_corrupt(decoder: Decoder, shared: Path, short_side: int | None) -> None:
    content = (shared / "formats" / "truncated.jpg").read_bytes()
    assert _refusal(decoder, content, short_side=short_side) == ErrorCode.IMAGE_CORRUPT


@pytest.mark.parametrize(
    "name",
    ["face.avif", "face.webp", "gray16.tif", "pug.heic", "rgb8.heif", "exif_landscape_6.jpg", "../photos/cat.png"],
)
def test_half_a_file_is_image_corrupt(decoder: Decoder, shared: Path, name: str) -> None:
    content = (shared / "formats" / name).read_bytes()
    assert _refusal(decoder, content[: len(content) // 2]) == ErrorCode.IMAGE_CORRUPT


def test_a_file_is_only_what_its_first_bytes_say(decoder: Decoder) -> None:
    polyglot = b"\x00\x00\x02\x00ftypheic" + struct.pack("<HHBB", 16, 16, 24, 32) + bytes(16 * 16 * 3)
    with Image.open(io.BytesIO(polyglot)) as image:
        assert image.format == "TGA", "Pillow left to itself goes on guessing"
    assert _refusal(decoder, polyglot) == ErrorCode.IMAGE_CORRUPT


def _png_head(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\r"
        + header
        + struct.pack(">I", zlib.crc32(header))
        + b"\x00\x00\x01\x00IDAT"
        + bytes(260)
    )


def test_a_bomb_is_image_too_large_at_once(decoder: Decoder, shared: Path) -> None:
    decoder.warm()
    seconds = []
    for _ in range(5):  # so that a machine that is busy with something else does not count
        started = time.monotonic()
        assert _refusal(decoder, (shared / "formats" / "bomb.gif").read_bytes()) == ErrorCode.IMAGE_TOO_LARGE
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 0.5


@pytest.mark.parametrize(("width", "height"), [(10_001, 10_000), (65_536, 1), (1, 65_536), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_told_from_the_header(decoder: Decoder, width: int, height: int) -> None:
    assert _refusal(decoder, _png_head(width, height)) == ErrorCode.IMAGE_TOO_LARGE


def test_the_limits_of_the_settings_are_those_of_the_decoder(tmp_path: Path) -> None:
    settings = load_settings(
        database_dir=tmp_path, max_image_bytes=3000, max_image_pixels=5000, max_image_side=200, decode_timeout=7
    )
    opened = open_decoder(settings)
    try:
        assert opened.decode(_png_of(200, 25)).full_width == 200
        for width, height in ((201, 1), (1, 201), (100, 51)):
            assert _refusal(opened, _png_of(width, height)) == ErrorCode.IMAGE_TOO_LARGE
        assert _refusal(opened, _png_of(1, 1) + bytes(3000)) == ErrorCode.IMAGE_TOO_LARGE
        assert (opened._deadline, opened._limits.cpu_seconds) == (7, 7)
    finally:
        opened.close()


def _png_of(width: int, height: int) -> bytes:
    return _saved(Image.new("L", (width, height), 99), "PNG")


def test_the_pictures_behind_the_first_are_not_read(decoder: Decoder) -> None:
    """Ten thousand frames, the last of them rubbish, and no end."""
    first = _saved(Image.new("RGB", (8, 8), "red"), "GIF")
    assert first.endswith(b";")
    picture = decoder.decode(first[:-1] + gif_frame() * 10_000 + b"\x2c\xff\xff")
    assert picture.pixels.tolist() == [[[255, 0, 0]] * 8] * 8


def test_a_picture_that_needs_too_much_memory_is_image_too_large() -> None:
    small = Decoder(limits=Limits(memory_bytes=150_000_000))
    content = _saved(Image.new("L", (7000, 7000)).convert("RGB"), "PNG", compress_level=1)
    try:
        assert _refusal(small, content) == ErrorCode.IMAGE_TOO_LARGE
    finally:
        small.close()


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_four_orientations_of_a_photo_become_one_picture(decoder: Decoder, shared: Path, orientation: int) -> None:
    upright = decoder.decode((shared / "formats" / "exif_landscape_1.jpg").read_bytes())
    turned = decoder.decode((shared / "formats" / f"exif_landscape_{orientation}.jpg").read_bytes())
    assert turned.pixels.shape == upright.pixels.shape
    assert _difference(turned.pixels, upright.pixels) < 2


ARROW = np.array([[255, 0, 0], [255, 255, 0]], dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, ARROW),
        (2, ARROW[:, ::-1]),
        (3, ARROW[::-1, ::-1]),
        (4, ARROW[::-1]),
        (5, ARROW.T),
        (6, np.rot90(ARROW)),
        (7, np.rot90(ARROW, 2).T),
        (8, np.rot90(ARROW, -1)),
        (9, ARROW),
    ],
)
def test_every_exif_orientation_is_turned_upright(
    decoder: Decoder, name: str, orientation: int, stored: NDArray[np.uint8]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if name in {"JPEG", "WEBP", "AVIF"} else {}
    content = _saved(Image.fromarray(np.ascontiguousarray(stored)).convert("RGB"), name, exif=exif, **options)
    picture = decoder.decode(content)
    assert (picture.full_width, picture.full_height) == (24, 16)
    assert np.abs(picture.pixels[:, :, 0].astype(int) - ARROW).mean() < 12


def test_a_heic_is_turned_once(decoder: Decoder, shared: Path) -> None:
    picture = decoder.decode((shared / "formats" / "pug.heic").read_bytes())
    wall, cushion = picture.pixels[: picture.height // 4].mean(), picture.pixels[-picture.height // 8 :].mean()
    assert picture.width > picture.height
    assert wall > cushion + 40, "the bright wall is above the dark cushion"


def test_broken_exif_data_lose_no_picture(decoder: Decoder) -> None:
    content = _saved(Image.new("RGB", (8, 8), "red"), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff\xff")
    assert decoder.decode(content).pixels.shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("short_side", "long_side", "shape"),
    [
        (None, None, (1200, 1800, 3)),
        (150, None, (150, 225, 3)),
        (151, None, (300, 450, 3)),
        (448, None, (600, 900, 3)),
        (601, None, (1200, 1800, 3)),
        (5000, None, (1200, 1800, 3)),
        (None, 640, (600, 900, 3)),
        (None, 225, (150, 225, 3)),
        (100, 640, (600, 900, 3)),
    ],
)
def test_a_jpeg_is_decoded_as_small_as_its_reader_allows(
    decoder: Decoder, shared: Path, short_side: int | None, long_side: int | None, shape: tuple[int, int, int]
) -> None:
    content = (shared / "formats" / "exif_landscape_6.jpg").read_bytes()
    picture = decoder.decode(content, short_side=short_side, long_side=long_side)
    assert picture.pixels.shape == shape
    assert (picture.full_width, picture.full_height) == (1800, 1200)
    assert picture.scale == 1800 / shape[1] == 1200 / shape[0]
    assert picture.extent == (shape[1], shape[0])


@pytest.mark.parametrize("size", [(1600, 1200), (1600, 1204), (1604, 1200), (1602, 1200), (1601, 1200), (1607, 1199)])
def test_a_smaller_jpeg_says_how_much_of_its_last_pixels_lies_in_the_picture(
    decoder: Decoder, size: tuple[int, int]
) -> None:
    picture = decoder.decode(_saved(Image.new("RGB", size, "red"), "JPEG"), short_side=100)

    assert (picture.full_width, picture.full_height) == size
    assert picture.scale == 8
    assert picture.extent == (size[0] / 8, size[1] / 8)
    assert (picture.width, picture.height) == (math.ceil(size[0] / 8), math.ceil(size[1] / 8))


@pytest.mark.parametrize(
    ("size", "orientation", "scale"),
    [
        ((1601, 1199), 5, 8),
        ((1600, 1200), 6, 8),
        ((1600, 1204), 3, 4),
        ((1602, 1200), 8, 2),
        ((1601, 1200), 6, 1),
        ((1600, 1199), 2, 1),
    ],
)
def test_a_jpeg_whose_last_pixels_become_its_first_is_scaled_by_what_divides_both_its_sides(
    decoder: Decoder, size: tuple[int, int], orientation: int, scale: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation

    picture = decoder.decode(_saved(Image.new("RGB", size, "red"), "JPEG", exif=exif), short_side=100)

    assert {picture.full_width, picture.full_height} == set(size)
    assert picture.scale == scale


def test_a_jpeg_of_few_pixels_is_scaled_by_what_divides_both_its_sides(decoder: Decoder) -> None:
    """Or its scale could not be told from its sides."""
    sizes = [(width, width + 1) for width in range(1, 140)]
    for size in sizes:
        picture = decoder.decode(_saved(Image.new("RGB", size, "red"), "JPEG"), short_side=1)
        assert picture.extent == (size[0] / picture.scale, size[1] / picture.scale)
        assert (picture.width, picture.height) == tuple(math.ceil(side) for side in picture.extent)


def test_a_small_decode_shows_the_same_picture_as_a_full_one(decoder: Decoder, shared: Path) -> None:
    content = (shared / "photos" / "biden_1.jpg").read_bytes()
    small, full = decoder.decode(content, short_side=448), decoder.decode(content)
    assert small.width < full.width
    assert _difference(small.pixels, full.pixels) < 2


def test_a_picture_too_thin_to_shrink_is_decoded_as_it_is(decoder: Decoder) -> None:
    thin = _saved(Image.new("RGB", (1, 4000), "red"), "JPEG")
    assert decoder.decode(thin, long_side=100).pixels.shape == (4000, 1, 3)


def test_the_smallest_picture_decodes(decoder: Decoder) -> None:
    assert decoder.decode(_saved(Image.new("RGB", (1, 1), "red"), "PNG")).pixels.tolist() == [[[255, 0, 0]]]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_alpha_is_flattened_on_white(decoder: Decoder, mode: str) -> None:
    if mode == "PA":
        image = Image.new("P", (4, 4), 0)
        image.putpalette([0, 0, 0, 255, 255, 255])
        content = _saved(image, "PNG", transparency=0)
    else:
        content = _saved(Image.new(mode, (4, 4), (0, 0, 0, 0) if mode == "RGBA" else (0, 0)), "PNG")
    assert decoder.decode(content).pixels.min() == 255


def test_a_cmyk_photo_keeps_its_colours(decoder: Decoder) -> None:
    red = decoder.decode(_saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")).pixels.mean(axis=(0, 1))
    assert red[0] > 200
    assert max(red[1:]) < 60


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 32768, 65535]], dtype=np.uint16), [0, 128, 255]),
        (np.array([[0, 2048, 4095]], dtype=np.uint16), [0, 128, 255]),
        (np.array([[0, 100, 200]], dtype=np.uint16), [0, 100, 200]),
        (np.array([[0.0, 0.5, 1.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0, 100, 255]], dtype=np.float32), [0, 100, 255]),
        (np.array([[-1.0, 0.0, 1.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0, 2**30, 2**31 - 1]], dtype=np.int32), [0, 128, 255]),
        (np.array([[0, 0, 0]], dtype=np.int32), [0, 0, 0]),
    ],
)
def test_wide_greys_are_scaled_not_cut(decoder: Decoder, values: NDArray[np.generic], expected: list[int]) -> None:
    pixels = decoder.decode(_saved(Image.fromarray(values), "TIFF")).pixels
    assert pixels.shape == (1, 3, 3)
    assert pixels[0, :, 0] == pytest.approx(expected, abs=1)
    assert (pixels[..., 0] == pixels[..., 2]).all()


@pytest.mark.parametrize("brightest", [200, 4095, 65_535])
def test_white_in_a_16_bit_png_is_65535_however_dark_it_is(decoder: Decoder, brightest: int) -> None:
    """PNG says so (section 4.2), and viewers show it so; only in a TIFF it must be guessed."""
    values = np.linspace(0, brightest, 300).astype(np.uint16).reshape(10, 30)
    pixels = decoder.decode(_saved(Image.fromarray(values), "PNG")).pixels
    assert np.abs(pixels[..., 0] - values / 257).max() <= 1


def test_a_wide_negative_is_turned_into_its_picture(decoder: Decoder) -> None:
    """TIFF 6.0: PhotometricInterpretation 0 is white where the number is 0, which Pillow heeds up to 8 bits."""
    values = np.array([[0, 32_768, 65_535]], dtype=np.uint16)
    negative = _saved(Image.fromarray(values), "TIFF", tiffinfo={262: 0})
    assert decoder.decode(negative).pixels[0, :, 0] == pytest.approx([255, 128, 0], abs=1)


def test_greys_without_a_range_are_image_corrupt(decoder: Decoder) -> None:
    endless = np.array([[0, np.inf]], dtype=np.float32)
    assert _refusal(decoder, _saved(Image.fromarray(endless), "TIFF")) == ErrorCode.IMAGE_CORRUPT


@pytest.mark.parametrize("image", [Image.new("1", (9, 9), 1), Image.new("L", (9, 9), 255), Image.new("P", (9, 9), 0)])
def test_narrow_modes_become_rgb(decoder: Decoder, image: Image.Image) -> None:
    assert decoder.decode(_saved(image, "PNG")).pixels.shape == (9, 9, 3)


def test_an_icc_profile_is_brought_to_srgb(decoder: Decoder, shared: Path) -> None:
    content = (shared / "photos" / "rocket.jpg").read_bytes()
    with Image.open(io.BytesIO(content)) as image:
        assert image.info["icc_profile"], "the photo is in Adobe RGB"
        plain = np.asarray(image.convert("RGB"))
    managed = decoder.decode(content).pixels
    assert 0.5 < _difference(managed, plain) < 10


@pytest.mark.parametrize("profile", [b"no profile", bytes(4000)])
def test_a_broken_icc_profile_loses_no_picture(decoder: Decoder, profile: bytes) -> None:
    content = _saved(Image.new("RGB", (8, 8), "red"), "PNG", icc_profile=profile)
    assert decoder.decode(content).pixels[0, 0].tolist() == [255, 0, 0]


def test_the_first_frame_of_an_animation_is_taken(decoder: Decoder) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for name in ("GIF", "WEBP", "PNG", "TIFF", "MPO", "AVIF"):
        content = _saved(frames[0], name, save_all=True, append_images=frames[1:])
        assert decoder.decode(content).pixels[4, 4, 0] > 200, name


def test_several_threads_share_a_decoder(shared: Path) -> None:
    contents = [(shared / "photos" / name).read_bytes() for name in ("obama_1_240p.jpg", "cat.png", "rocket.jpg")] * 8
    pool = Decoder(processes=2)
    try:
        pool.warm()
        assert len(set(pool.pids)) == 1
        expected = [pool.decode(content).pixels for content in contents[:3]] * 8
        with ThreadPoolExecutor(6) as threads:
            pictures = list(threads.map(pool.decode, contents))
        assert len(set(pool.pids)) == 2
    finally:
        pool.close()
    assert all((picture.pixels == pixels).all() for picture, pixels in zip(pictures, expected, strict=True))


def test_pixels_outlive_the_decoder_and_later_pictures(shared: Path) -> None:
    opened = Decoder()
    first = opened.decode((shared / "photos" / "cat.png").read_bytes()).pixels
    before = first.copy()
    opened.decode((shared / "photos" / "coffee.png").read_bytes())
    opened.close()
    assert (first == before).all()
    assert not first.flags.writeable


def test_own_pixels_become_a_jpeg(decoder: Decoder, shared: Path) -> None:
    pixels = decoder.decode((shared / "photos" / "astronaut.png").read_bytes()).pixels[10:300, 20:400]
    again = decoder.decode(encode_jpeg(pixels)).pixels
    assert again.shape == (290, 380, 3)
    assert _difference(again, pixels) < 2
