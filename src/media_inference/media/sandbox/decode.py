"""A file to upright RGB."""

import struct
import warnings
import zlib
from importlib import import_module
from typing import BinaryIO

import pi_heif
from PIL import AvifImagePlugin, ExifTags, Image, ImageFile

from media_inference.errors import ErrorCode
from media_inference.media.sandbox.boxes import is_cut_off
from media_inference.media.sandbox.colours import to_rgb
from media_inference.media.sandbox.formats import PREFIX_BYTES, format_of
from media_inference.media.sandbox.jpeg_end import ends_early
from media_inference.media.sandbox.protocol import SCALES, Limits, Sizes, Wanted
from media_inference.media.sandbox.rows import png_lacks_rows, tiff_lacks_strips
from media_inference.media.sandbox.tiles import lacks_tiles

PLUGINS = ("Avif", "Bmp", "Gif", "Jpeg", "Jpeg2K", "Mpo", "Png", "Tiff", "WebP")

# What Pillow and its libraries raise on broken files, besides what MemoryError and the bomb checks tell.
BROKEN_FILE = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, EOFError, RuntimeError,
    AssertionError, struct.error, zlib.error,
)  # fmt: skip

# EXIF 2.32, tag 0x0112: what turns the stored picture upright
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = {5, 6, 7, 8}
CORNER_STAYS = {None, 1, 5}
"""Orientations in which the upper left corner of the stored picture is that of the upright one."""

SMALLEST_ODD = 16
"""Shorter side that a smaller decode must leave where it divides the picture with a rest: its sides tell its scale."""
LONGEST_ODD = 8
"""Times its shorter side that such a picture may be long: of a longer one networks see the middle, in whole pixels."""

JPEGS = ("JPEG", "MPO")
"""Formats that are decoded smaller. The orientation of others may only be asked for when they are loaded: Pillow reads
a PNG whole for it, and whoever asks again is not told what was broken."""


class Refused(Exception):
    """The picture is not decoded; ``code`` says why."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code)
        self.code = code


def load_decoders(limits: Limits) -> None:
    """Loads all code that a picture may need, before there are limits on files, and sets the limits of libraries."""
    for name in PLUGINS:
        import_module(f"PIL.{name}ImagePlugin")
    pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # there is a child per core already
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def decode(file: BinaryIO, wanted: Wanted, limits: Limits) -> tuple[Image.Image, Sizes]:
    """The first picture of a file, upright, 8-bit sRGB, and its sizes. Raises `Refused`."""
    try:
        image = _open(file)
        _check_size(image, limits)
        full = _draft(image, wanted)
        image.load()
        _check_size(image, limits)  # GIF and HEIF may turn out larger than their header says
        if _is_incomplete(image, file):
            raise Refused(ErrorCode.IMAGE_CORRUPT)
        return _upright(image, full)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError, MemoryError) as error:
        raise Refused(ErrorCode.IMAGE_TOO_LARGE) from error
    except BROKEN_FILE as error:
        raise Refused(ErrorCode.IMAGE_CORRUPT) from error


def _open(file: BinaryIO) -> ImageFile.ImageFile:
    prefix = file.read(PREFIX_BYTES)
    name = format_of(prefix)
    if name is None:
        raise Refused(ErrorCode.UNSUPPORTED_FORMAT)
    if name == "HEIF" and is_cut_off(file):
        raise Refused(ErrorCode.IMAGE_CORRUPT)
    return Image.open(file, formats=[name])


def _check_size(image: Image.Image, limits: Limits) -> None:
    width, height = image.size
    if max(width, height) > limits.max_side or width * height > limits.max_pixels:
        raise Refused(ErrorCode.IMAGE_TOO_LARGE)


def _is_incomplete(image: ImageFile.ImageFile, file: BinaryIO) -> bool:
    """Whether parts of the picture were made up: half a photo must not pass for one."""
    match image.format:
        case "JPEG" | "MPO":
            return ends_early(image, file)
        case "PNG":
            return png_lacks_rows(image, file)
        case "TIFF":
            return tiff_lacks_strips(image)
        case "JPEG2000":
            return lacks_tiles(file)
    return False


def _draft(image: ImageFile.ImageFile, wanted: Wanted) -> tuple[int, int] | None:
    """Lets a JPEG be decoded at 1/2, 1/4 or 1/8 as long as it stays large enough; returns its full size if it will.

    libjpeg then leaves out what it need not compute, and a large photo takes a fifth of the time. Where a scale divides
    a side with a rest, the last pixels stand for less than the others; they must stay the last (`Picture.extent`).
    """
    if image.format not in JPEGS or (wanted.short_side is None and wanted.long_side is None):
        return None
    width, height = image.size
    may_leave_a_rest = max(image.size) <= LONGEST_ODD * min(image.size) and _orientation(image) in CORNER_STAYS
    for scale in SCALES:
        short, long = sorted((width // scale, height // scale))
        if (width % scale or height % scale) and not (may_leave_a_rest and short >= SMALLEST_ODD):
            continue
        if short >= max(1, wanted.short_side or 0) and long >= (wanted.long_side or 0):
            return (width, height) if image.draft(None, (width // scale, height // scale)) else None
    return None


def _upright(image: Image.Image, full: tuple[int, int] | None) -> tuple[Image.Image, Sizes]:
    full_width, full_height = full or image.size
    orientation = _orientation(image)
    if orientation in SIDEWAYS:
        full_width, full_height = full_height, full_width
    rgb = to_rgb(image)
    if orientation in TURNS:
        rgb = rgb.transpose(TURNS[orientation])
    return rgb, Sizes(rgb.width, rgb.height, full_width, full_height)


def _orientation(image: Image.Image) -> int | None:
    """As the EXIF data say; None when they are broken, which is no reason to lose the picture.

    HEIF is turned by its decoder, which then takes the orientation out of the EXIF data.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except BROKEN_FILE:
        return None
    return orientation if isinstance(orientation, int) else None
