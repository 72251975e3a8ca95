"""Pixels to the tensors that networks take, and raw outputs to unit vectors.

The one place outside `media/` that uses Pillow: resampling decides the numbers, so every network uses this one.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media_inference.errors import ErrorCode, PermanentError
from media_inference.models.kinds import Extent, Pixels, Vectors
from media_inference.models.session import Tensor

LONGEST_ASPECT = 8
"""Pictures narrower than 1:8 lose their ends before a shorter-side resize, or a 1 x 20000 picture would need 3 GB."""


class Interpolation(StrEnum):
    """Pillow's filters, both with antialias where a picture becomes smaller."""

    BICUBIC = "bicubic"
    BILINEAR = "bilinear"


_FILTERS = {
    Interpolation.BICUBIC: Image.Resampling.BICUBIC,
    Interpolation.BILINEAR: Image.Resampling.BILINEAR,
}


class Letterboxed(NamedTuple):
    """A picture inside a canvas; multiply canvas coordinates by ``back`` (x, y) to be in the picture again."""

    canvas: Pixels
    back: NDArray[np.float32]


class Shrunk(NamedTuple):
    """A picture made smaller; multiply its coordinates by ``back`` (x, y) to be in the original again."""

    pixels: Pixels
    back: NDArray[np.float32]


def resize(
    picture: Pixels,
    width: int,
    height: int,
    interpolation: Interpolation = Interpolation.BILINEAR,
    extent: Extent | None = None,
) -> Pixels:
    """The whole picture at another size, or itself."""
    box = None if extent is None or extent == _sides(picture) else (0, 0, *extent)
    if box is None and picture.shape[:2] == (height, width):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), _FILTERS[interpolation], box))


def reduce(picture: Pixels, factor: int) -> Pixels:
    """The mean of each block of ``factor`` x ``factor`` pixels; those at the right and at the bottom may be smaller."""
    return np.asarray(Image.fromarray(picture).reduce(factor))


def at_most(picture: Pixels, long_side: int) -> Shrunk:
    """The picture with a longer side of at most ``long_side``, never enlarged."""
    rows, columns = picture.shape[:2]
    scale = min(1.0, long_side / max(rows, columns))
    width, height = max(1, round(columns * scale)), max(1, round(rows * scale))
    pixels = picture if scale == 1.0 else resize(picture, width, height)
    return Shrunk(pixels, np.array([columns / width, rows / height], np.float32))


def letterbox(picture: Pixels, width: int, height: int) -> Letterboxed:
    """Fits a picture inside ``width`` x ``height`` keeping its aspect, at the top left, the rest black."""
    rows, columns = picture.shape[:2]
    scale = min(width / columns, height / rows)
    fitted_width = min(width, max(1, round(columns * scale)))
    fitted_height = min(height, max(1, round(rows * scale)))
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[:fitted_height, :fitted_width] = resize(picture, fitted_width, fitted_height)
    return Letterboxed(canvas, np.array([columns / fitted_width, rows / fitted_height], np.float32))


def pad(picture: Pixels, side: int, interpolation: Interpolation, extent: Extent | None = None) -> Pixels:
    """The whole picture in the middle of a black square: [side, side, 3].

    Longer side to ``side``, shorter to ``round(side * short / long)``, pasted at ``(side - length) // 2``: the
    ``longest`` resize mode of open_clip.
    """
    extent = extent or _sides(picture)
    width, height = (max(1, round(side * length / max(extent))) for length in extent)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + height, left : left + width] = resize(picture, width, height, interpolation, extent)
    return square


def shortest_crop(
    picture: Pixels,
    side: int,
    interpolation: Interpolation = Interpolation.BICUBIC,
    extent: Extent | None = None,
) -> Pixels:
    """The middle of a picture as CLIP sees it: [side, side, 3].

    Shorter side to ``side`` with Pillow's bicubic (antialias), longer side to ``int(side * long / short)``, then cut
    from ``(length - side) // 2``. This rounding is frozen: others differ by a pixel, and so would the vectors.
    """
    longest = LONGEST_ASPECT * min(picture.shape[:2])
    if max(picture.shape[:2]) > longest:
        picture, extent = _middle(picture, longest), None
    extent = extent or _sides(picture)
    width, height = (int(side * length / min(extent)) for length in extent)
    resized = resize(picture, width, height, interpolation, extent)
    left, top = (width - side) // 2, (height - side) // 2
    return resized[top : top + side, left : left + side]


def _sides(picture: Pixels) -> Extent:
    return picture.shape[1], picture.shape[0]


def _middle(picture: Pixels, longest: int) -> Pixels:
    top, left = (max(0, (length - longest) // 2) for length in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + longest, left : left + longest])


def normalise(pictures: Sequence[Pixels] | Pixels, mean: NDArray[np.float32], std: NDArray[np.float32]) -> Tensor:
    """Pictures of one size to [N, 3, height, width] float32, ``(x - mean) / std`` with both in units of 0..255."""
    batch = np.asarray(pictures).transpose(0, 3, 1, 2)
    tensor = np.empty(batch.shape, np.float32)
    tensor[...] = batch  # in the tensor's own order from here on, and in place: another order takes ten times as long
    tensor -= mean[:, None, None]
    tensor /= std[:, None, None]
    return tensor


def unit(vectors: Tensor) -> Vectors:
    """Each row at length 1.

    Raises `PermanentError` (`internal`) for a row that is zero or not finite, which would be near to everything.
    """
    rows = vectors.astype(np.float64)
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    if not (np.isfinite(lengths).all() and (lengths > 1e-12).all()):
        raise PermanentError(ErrorCode.INTERNAL, "the model gave no usable vector")
    return np.asarray(rows / lengths, np.float32)
