"""The picture that self-tests show to networks: made by a formula, the same to the last bit everywhere."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from media_inference.models.kinds import Pixels

_SIDE = 256
_SKIN, _DARK, _LIPS = (224, 172, 144), (40, 26, 30), (168, 64, 72)


def golden_picture(height: int, width: int) -> Pixels:
    """Coloured waves of several lengths with a drawn face, from integers alone: no sine, no random stream."""
    rows, columns = (np.arange(size) * _SIDE // size for size in (height, width))
    return np.asarray(_drawn()[rows[:, None], columns])


@cache
def _drawn() -> Pixels:
    y, x = np.mgrid[:_SIDE, :_SIDE]
    waves = [_wave(3 * x + y, 74) + _wave(x - 2 * y, 11), _wave(x * y // 64, 90), _wave(2 * y - x, 37) // 2 + x // 2]
    picture = np.clip(np.stack([waves[0] // 2, waves[1], waves[2]], axis=2), 0, 255)
    _paint(picture, _ellipse(x, y, (128, 128), (56, 76)), _SKIN)
    for side in (-1, 1):
        _paint(picture, _ellipse(x, y, (128 + side * 22, 108), (9, 5)), _DARK)
        _paint(picture, _ellipse(x, y, (128 + side * 22, 94), (13, 2)), _DARK)
    _paint(picture, _ellipse(x, y, (128, 136), (6, 10)), tuple(part * 7 // 8 for part in _SKIN))
    _paint(picture, _ellipse(x, y, (128, 166), (22, 6)), _LIPS)
    return np.asarray(picture, np.uint8)


def _wave(at: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """A triangle wave from 0 to 255."""
    return np.abs(at % (2 * length) - length) * 255 // length


def _ellipse(
    x: NDArray[np.int64], y: NDArray[np.int64], centre: tuple[int, int], radii: tuple[int, int]
) -> NDArray[np.bool_]:
    (across, down), (width, height) = centre, radii
    return ((x - across) * height) ** 2 + ((y - down) * width) ** 2 <= (width * height) ** 2


def _paint(picture: NDArray[np.int64], where: NDArray[np.bool_], colour: tuple[int, ...]) -> None:
    """Covers an area and lets a quarter of what is below show through, so that no two of its pixels need be alike."""
    picture[where] = (picture[where] + 3 * np.array(colour)) // 4
