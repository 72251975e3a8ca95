"""A picture in overlapping tiles, and which faces of a tile can be trusted to be whole."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from media_inference.models.kinds import DetectedFace

OVERLAP = 0.25
"""Of neighbouring tiles, at least, as a part of a tile's side."""

MARGIN = 0.25
"""A face nearer to a cut than this part of its own size may be a piece of a face; with an eighth some were."""


class Tile(NamedTuple):
    """A part of a picture, in its pixels."""

    left: int
    top: int
    right: int
    bottom: int

    def has_whole(self, face: DetectedFace, shape: tuple[int, ...]) -> bool:
        """Whether a face, in pixels of the tile, keeps away from all edges where the picture of ``shape`` goes on."""
        x, y, width, height = face.box
        margin = MARGIN * max(width, height)
        return (
            (self.left == 0 or x >= margin)
            and (self.top == 0 or y >= margin)
            and (self.right == shape[1] or x + width <= self.right - self.left - margin)
            and (self.bottom == shape[0] or y + height <= self.bottom - self.top - margin)
        )


def grid(shape: tuple[int, ...], side: int) -> Iterator[Tile]:
    """Tiles of at most ``side`` x ``side`` that cover a picture of this shape and overlap evenly.

    Whatever is no larger than the overlap lies whole in one of them: with the margins that `Tile.has_whole` wants, a
    face of up to 0.25 / (1 + 2 * 0.25) of the side, a sixth.
    """
    for top in _starts(shape[0], side):
        for left in _starts(shape[1], side):
            yield Tile(left, top, min(left + side, shape[1]), min(top + side, shape[0]))


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin along one side of a picture."""
    if length <= side:
        return [0]
    step = (1 - OVERLAP) * side
    count = 1 + int(np.ceil((length - side) / step))
    return [round(index * (length - side) / (count - 1)) for index in range(count)]
