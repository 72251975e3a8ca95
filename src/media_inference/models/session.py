"""What a network needs of an inference engine."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[np.float32]
"""What graphs give, and most take."""

Feed = Tensor | NDArray[np.int32] | NDArray[np.int64]
"""What a graph takes: numbers of pixels, or of tokens."""


class Session(Protocol):
    """A loaded graph. ``runtime/session.py`` is the real one."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the graph's inputs, in its order."""
        ...

    @property
    def input_shapes(self) -> tuple[tuple[int | None, ...], ...]:
        """Shapes of the inputs; None where an axis is free."""
        ...

    @property
    def input_types(self) -> tuple[str, ...]:
        """Element types of the inputs in NumPy's words: ``float32``, ``int64``."""
        ...

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the graph's outputs, in its order."""
        ...

    @property
    def output_shapes(self) -> tuple[tuple[int | None, ...], ...]:
        """Shapes of the outputs; None where an axis is free."""
        ...

    def run(self, feeds: Mapping[str, Feed], *, together: int = 1) -> dict[str, Tensor]:
        """All outputs by name.

        ``together``: these rows may share a pass with those of other callers, up to so many; 1 where the company of a
        row would change its output, or the graph takes no more. Raises `TransientError` (`model_unavailable`) when the
        engine can't run now.
        """
        ...
