"""How urgent the work is that a thread does, for whoever lets threads wait in turn."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from media_inference.jobs.job import HIGHEST_PRIORITY

_urgency: ContextVar[int] = ContextVar("urgency", default=HIGHEST_PRIORITY)


def urgency() -> int:
    """The priority of this thread's job; the highest where it has none, for then somebody waits for an answer."""
    return _urgency.get()


@contextmanager
def working_at(priority: int) -> Iterator[None]:
    """Makes it ``priority`` until the block ends."""
    before = _urgency.set(priority)
    try:
        yield
    finally:
        _urgency.reset(before)
