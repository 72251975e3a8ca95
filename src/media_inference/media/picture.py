"""A decoded picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Picture:
    """``pixels`` is [h, w, 3] uint8, RGB, upright, read-only.

    They may be fewer than the stored picture has: one for each square of ``scale`` pixels, from the upper left corner,
    and what is left over at the right and at the bottom has pixels of its own. ``full_width`` and ``full_height`` are
    those of the upright picture in full size.
    """

    pixels: NDArray[np.uint8]
    full_width: int
    full_height: int

    @property
    def width(self) -> int:
        """Decoded pixels from left to right."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Decoded pixels from top to bottom."""
        return int(self.pixels.shape[0])

    @property
    def scale(self) -> int:
        """Pixels of the full-size picture per decoded pixel, along each side."""
        return round(max(self.full_width, self.full_height) / max(self.width, self.height))

    @property
    def extent(self) -> tuple[float, float]:
        """How many decoded pixels the picture is wide and high: the last ones may lie in it with a part of them."""
        return min(self.width, self.full_width / self.scale), min(self.height, self.full_height / self.scale)

    @property
    def is_full(self) -> bool:
        """Whether no finer picture can be had."""
        return (self.width, self.height) == (self.full_width, self.full_height)

    def serves(self, short_side: int | None, long_side: int | None) -> bool:
        """Whether it is fine enough for somebody who wants these sides; both None stands for the full size."""
        if self.is_full:
            return True
        if short_side is None and long_side is None:
            return False
        sides = sorted((self.width, self.height))
        return sides[0] >= (short_side or 0) and sides[1] >= (long_side or 0)
