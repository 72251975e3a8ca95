"""A decoded picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """``pixels`` is [h, w, 3] uint8, RGB, upright, read-only.

    They may be fewer than the stored picture has; ``full_width`` and ``full_height`` are those of the upright picture
    in full size.
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
    def scale_x(self) -> float:
        """Pixels of the full-size picture per decoded pixel, across."""
        return self.full_width / self.width

    @property
    def scale_y(self) -> float:
        """Pixels of the full-size picture per decoded pixel, down."""
        return self.full_height / self.height

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
