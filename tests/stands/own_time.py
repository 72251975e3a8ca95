"""An event loop with a clock of its own: nothing is late there unless a test says so, and nobody waits."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class OwnTime(asyncio.SelectorEventLoop):
    """Its clock stands still while anything runs, and jumps to what is due when nothing does."""

    def __init__(self) -> None:
        self._jumps = _Jumps()
        super().__init__(self._jumps)

    def time(self) -> float:
        """Seconds since it began."""
        return self._jumps.now

    def be_late(self, seconds: float) -> None:
        """What a loop that has too much to do looks like."""
        self._jumps.now += seconds


class _Jumps(selectors.DefaultSelector):
    """Looks at once, and says when it was asked to wait that so much time has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready."""
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout is not None:
            self.now += max(0.0, timeout)
        return ready


def run_in_own_time(work: Coroutine[Any, Any, Answer]) -> Answer:
    """As `asyncio.run`."""
    with asyncio.Runner(loop_factory=OwnTime) as runner:
        return runner.run(work)


def own_time() -> OwnTime:
    """The loop that runs this."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, OwnTime)
    return loop
