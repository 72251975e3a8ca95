"""Any of Pillow's modes to 8-bit sRGB."""

import functools
import io
import math

from PIL import Image, ImageCms, TiffImagePlugin

WIDE_GREYS = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
MANAGED = {"RGB", "L", "CMYK"}
FULL_RANGE = {"PNG", "JPEG2000"}
WHITE_IS_ZERO = 0  # TIFF 6.0, section 8: PhotometricInterpretation


def to_rgb(image: Image.Image) -> Image.Image:
    """Wide greys scaled, alpha flattened on white, colours brought from the picture's ICC profile to sRGB."""
    profile = image.info.get("icc_profile")
    if image.mode in WIDE_GREYS:
        image = _narrowed(image)
    elif image.has_transparency_data:
        image = _flattened(image)
    elif image.mode == "LAB":
        return _transformed(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    elif image.mode not in MANAGED:
        image = image.convert("RGB")
    return _managed(image, profile) or (image if image.mode == "RGB" else image.convert("RGB"))


def _narrowed(image: Image.Image) -> Image.Image:
    """One channel of more than 8 bits to 8: scaled, where Pillow would cut off what is above 255."""
    black, white = _black_and_white(image)
    scale = 255 / (white - black)
    return image.convert("F").point(lambda value: value * scale + (0.5 - black * scale)).convert("L")


def _black_and_white(image: Image.Image) -> tuple[float, float]:
    if image.format in FULL_RANGE and image.mode.startswith("I;16"):
        return 0, 65_535
    black, white = _range(*_extrema(image))
    return (white, black) if _is_negative(image) else (black, white)


def _is_negative(image: Image.Image) -> bool:
    """Pillow turns narrow negatives itself."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    return bool(image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO)


def _extrema(image: Image.Image) -> tuple[float, float]:
    darkest, brightest = image.getextrema()
    if isinstance(darkest, tuple) or isinstance(brightest, tuple) or not math.isfinite(brightest - darkest):
        raise ValueError("greys without a range")
    return darkest, brightest


def _range(darkest: float, brightest: float) -> tuple[float, float]:
    """What black and white are in a TIFF with values between these. It does not say, so it follows from them.

    Fractions go from 0 to 1, whole numbers to the end of the bits that the brightest one needs: scanners and
    microscopes store 10 or 12 bits in 16.
    """
    if darkest < 0:
        return darkest, max(brightest, darkest + 1)
    if brightest <= 1:
        return 0, 1
    return 0, 2 ** max(8, int(brightest).bit_length()) - 1


def _flattened(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, mask=image.getchannel("A"))
    return paper


def _managed(image: Image.Image, profile: object) -> Image.Image | None:
    """The picture in sRGB; None when that is what it is in, or when its profile is missing, broken or unsuitable."""
    if not isinstance(profile, bytes) or image.mode not in MANAGED:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return _transformed(image, source)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _transformed(image: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    transformed = ImageCms.profileToProfile(image, source, _srgb(), outputMode="RGB")
    if transformed is None:
        raise ValueError("no colours")
    return transformed


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
