"""A detected face turned, scaled and moved onto the 112 x 112 template that ArcFace networks were trained on."""

import numpy as np
from numpy.typing import NDArray

from media_inference.errors import ErrorCode, PermanentError
from media_inference.models.kinds import Pixels
from media_inference.models.pixels import reduce

SIDE = 112

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float64
)
"""Left eye, right eye, nose, corners of the mouth, as the viewer sees them (InsightFace's ``arcface_dst``)."""

Similarity = tuple[complex, complex]
"""(a, b): the point z = x + iy goes to a*z + b; a turns and scales, b moves. A reflection can't be written so."""


def align(picture: Pixels, landmarks: NDArray[np.float32]) -> Pixels:
    """The face as [112, 112, 3], bilinear, black outside the picture.

    A face that becomes less than half as large is shrunk by a whole factor first, or most of its pixels would not count
    and its noise would. ``landmarks`` is [5, 2] in pixels of ``picture``. When all five are one point, the 112 x 112
    pixels around it are taken. Raises `PermanentError` (`internal`) when a landmark is not finite.
    """
    turn, move = similarity(landmarks)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    source = (columns + 1j * rows - move) / turn
    return _sample(*_shrunk(picture, source.real, source.imag, max(1, int(1 / abs(turn)))))


def residual(landmarks: NDArray[np.float32]) -> float:
    """How far the landmarks are from the template after alignment: mean distance in template pixels.

    1 to 3 for a frontal face; above 10 the points are not in the order of the template.
    """
    turn, move = similarity(landmarks)
    return float(np.abs(turn * _complex(landmarks) + move - _complex(TEMPLATE)).mean())


def similarity(landmarks: NDArray[np.float32]) -> Similarity:
    """The least-squares similarity from the landmarks onto the template (Umeyama 1991, in two dimensions)."""
    points, target = _complex(landmarks), _complex(TEMPLATE)
    if not np.isfinite(points).all():
        raise PermanentError(ErrorCode.INTERNAL, "the face detector gave unusable landmarks")
    centred = points - points.mean()
    spread = float((np.abs(centred) ** 2).sum())
    turn = complex(np.vdot(centred, target - target.mean()) / spread) if spread > 1e-6 else 0j
    if abs(turn) < 1e-6:
        turn = 1 + 0j
    return turn, complex(target.mean() - turn * points.mean())


def _complex(points: NDArray[np.floating]) -> NDArray[np.complex128]:
    wide = points.astype(np.float64)
    return np.asarray(wide[:, 0] + 1j * wide[:, 1])


def _shrunk(
    picture: Pixels, x: NDArray[np.float64], y: NDArray[np.float64], factor: int
) -> tuple[Pixels, NDArray[np.float64], NDArray[np.float64]]:
    """The part of a picture around the points (x, y), smaller by a whole factor, and the points in its pixels.

    A pixel's place is that of its middle: pixel 0 of the smaller part is as wide as 0 to ``factor`` - 1 of the picture.
    """
    if factor == 1:
        return picture, x, y
    left, top = (max(0, int(np.floor(values.min())) - factor) for values in (x, y))
    right, bottom = (max(0, int(np.ceil(values.max())) + factor + 1) for values in (x, y))
    part = picture[top:bottom, left:right]
    if part.size == 0:
        return picture, x, y
    middle = (factor - 1) / 2
    return reduce(part, factor), (x - left - middle) / factor, (y - top - middle) / factor


def _sample(picture: Pixels, x: NDArray[np.float64], y: NDArray[np.float64]) -> Pixels:
    """Bilinear interpolation of ``picture`` at the points (x, y)."""
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right_share, lower_share = (x - left)[..., None], (y - top)[..., None]
    upper = _pixels_at(picture, left, top) * (1 - right_share) + _pixels_at(picture, left + 1, top) * right_share
    lower = (
        _pixels_at(picture, left, top + 1) * (1 - right_share) + _pixels_at(picture, left + 1, top + 1) * right_share
    )
    return np.rint(upper * (1 - lower_share) + lower * lower_share).astype(np.uint8)


def _pixels_at(picture: Pixels, columns: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    height, width = picture.shape[:2]
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    values = picture[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)].astype(np.float64)
    return np.asarray(values * inside[..., None])
