"""What a network needs of an inference engine."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[np.float32]


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
    def output_names(self) -> tuple[str, ...]:
        """Names of the graph's outputs, in its order."""
        ...

    @property
    def output_shapes(self) -> tuple[tuple[int | None, ...], ...]:
        """Shapes of the outputs; None where an axis is free."""
        ...

    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All outputs by name.

        Raises `TransientError` (`model_unavailable`) when the engine can't run now.
        """
        ...
