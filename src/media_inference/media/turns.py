"""Things that threads take turns with, the most urgent thread first."""

import heapq
import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from media_inference.jobs.urgency import urgency

Thing = TypeVar("Thing")


@dataclass(slots=True, order=True)
class _Waiter(Generic[Thing]):
    rank: tuple[int, int]
    given: list[Thing] = field(default_factory=list, compare=False)
    came: threading.Event = field(default_factory=threading.Event, compare=False)


class Turns(Generic[Thing]):
    """Some things of a kind. Those who wait get theirs by the urgency of their job, then first come, first served."""

    def __init__(self, things: Sequence[Thing]) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._free = list(things)
        self._waiting: list[_Waiter[Thing]] = []

    @property
    def waiting(self) -> int:
        """How many threads wait now."""
        return len(self._waiting)

    @contextmanager
    def one(self) -> Iterator[Thing]:
        """Waits for one, of the free ones that last used, and gives it back at the end."""
        thing = self._take()
        try:
            yield thing
        finally:
            self._give(thing)

    def _take(self) -> Thing:
        with self._lock:
            if self._free:
                return self._free.pop()  # the others stay idle, and what is idle can sleep
            waiter: _Waiter[Thing] = _Waiter((-urgency(), next(self._numbers)))
            heapq.heappush(self._waiting, waiter)
        waiter.came.wait()
        return waiter.given[0]

    def _give(self, thing: Thing) -> None:
        with self._lock:
            if not self._waiting:
                self._free.append(thing)
                return
            waiter = heapq.heappop(self._waiting)
        waiter.given.append(thing)
        waiter.came.set()
