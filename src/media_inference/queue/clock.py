"""The wall clock of the database's time columns."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Integer milliseconds since 1970 UTC."""


def wall_clock() -> int:
    """Now."""
    return time.time_ns() // 1_000_000
