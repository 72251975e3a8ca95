"""Good pictures in every format and mode, small, the same in each run: what bad files are made of."""

import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 120, 88
SHARED = (
    "animated.gif", "cmyk.jpg", "exif_landscape_1.jpg", "exif_landscape_3.jpg", "exif_landscape_6.jpg",
    "exif_landscape_8.jpg", "face.avif", "face.webp", "face_exif6.jpg", "gray16.tif", "palette_alpha.gif", "pug.heic",
    "rgb8.heif",
)  # fmt: skip
"""The files of ../shared/formats that decode."""


def photo(seed: int = 1) -> Image.Image:
    """A picture with slopes, edges and some noise, so that every part of it differs from every other.

    A new object each time: Pillow leaves the settings of one save in it for the next.
    """
    noise = np.random.default_rng(seed).integers(0, 24, (HEIGHT, WIDTH, 3))
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    slopes = np.stack([across * 1.6 + 20, down * 2.2 + 20, (across * down) % 199 + 20], axis=2)
    return Image.fromarray((slopes + noise).clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, name: str, **options: object) -> bytes:
    """A file of the format that Pillow calls so."""
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


@cache
def generated() -> dict[str, bytes]:
    """Files by name; the part before the first dash is the format."""
    return _jpegs() | _lossless() | _modern() | _tiffs()


def good_files(formats: Path | None) -> dict[str, bytes]:
    """The generated files and, if there are any, those of ../shared/formats."""
    real = {name: (formats / name).read_bytes() for name in SHARED} if formats else {}
    return generated() | real


def _jpegs() -> dict[str, bytes]:
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "jpeg-baseline": saved(photo(), "JPEG"),
        "jpeg-progressive": saved(photo(), "JPEG", progressive=True),
        "jpeg-grey": saved(photo().convert("L"), "JPEG"),
        "jpeg-cmyk": saved(photo().convert("CMYK"), "JPEG"),
        "jpeg-restarts": saved(photo(), "JPEG", restart_marker_rows=1, subsampling="4:2:0"),
        "jpeg-turned": saved(photo(), "JPEG", exif=turned, quality=90, subsampling="4:4:4"),
        "mpo-two": saved(photo(), "MPO", save_all=True, append_images=[photo(2)]),
    }


def _lossless() -> dict[str, bytes]:
    alpha = photo()
    alpha.putalpha(photo(2).convert("L"))
    wide = Image.fromarray(np.asarray(photo().convert("L")).astype(np.uint16) * 257)
    return {
        "png-rgb": saved(photo(), "PNG"),
        "png-alpha": saved(alpha, "PNG"),
        "png-palette": saved(photo().quantize(64), "PNG"),
        "png-16bit": saved(wide, "PNG"),
        "png-animated": saved(photo(), "PNG", save_all=True, append_images=[photo(2)]),
        "gif-still": saved(photo(), "GIF"),
        "gif-animated": saved(photo(), "GIF", save_all=True, append_images=[photo(2), photo(3)]),
        "bmp-24": saved(photo(), "BMP"),
        "bmp-palette": saved(photo().quantize(64), "BMP"),
    }


def _modern() -> dict[str, bytes]:
    more = [photo(2)]
    return {
        "webp-lossy": saved(photo(), "WEBP"),
        "webp-lossless": saved(photo(), "WEBP", lossless=True),
        "webp-animated": saved(photo(), "WEBP", save_all=True, append_images=more),
        "avif-still": saved(photo(), "AVIF", speed=10),
        "avif-animated": saved(photo(), "AVIF", speed=10, save_all=True, append_images=more),
        "jpeg2000-jp2": saved(photo(), "JPEG2000"),
        "jpeg2000-stream": saved(photo(), "JPEG2000", no_jp2=True),
    }


def _tiffs() -> dict[str, bytes]:
    methods = (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd")
    floats = Image.fromarray(np.asarray(photo().convert("L")).astype(np.float32) / 255)
    return {f"tiff-{method or 'plain'}": saved(photo(), "TIFF", compression=method) for method in methods} | {
        "tiff-fax": saved(photo().convert("1"), "TIFF", compression="group4"),
        "tiff-float": saved(floats, "TIFF"),
        "tiff-pages": saved(photo(), "TIFF", save_all=True, append_images=[photo(2)]),
    }
