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
from media_inference.media.sandbox.protocol import Limits, Sizes, Wanted

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


def _draft(image: ImageFile.ImageFile, wanted: Wanted) -> tuple[int, int] | None:
    """Lets a JPEG be decoded at 1/2, 1/4 or 1/8 as long as it stays large enough; returns its full size if it will.

    libjpeg then leaves out what it need not compute, and a large photo takes a fifth of the time. Only by what divides
    both sides: otherwise the last pixels stand for less than the others, and a network's crop moves by up to a pixel.
    """
    if wanted.short_side is None and wanted.long_side is None:
        return None
    width, height = image.size
    for scale in (8, 4, 2):
        if width % scale or height % scale:
            continue
        short, long = sorted((width // scale, height // scale))
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
