"""Forward passes that concurrent jobs share without knowing it.

Each thread that calls `BatchedSession.run` waits its turn at the engine. When a turn comes, the most urgent call that
waits takes it, and those that want the same graph come along, as many as one pass may hold. The thread whose call was
first runs the pass for all: there is no thread of the batcher's own, and a process without work does nothing.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from media_inference.errors import JobError
from media_inference.jobs.job import HIGHEST_PRIORITY
from media_inference.jobs.urgency import urgency
from media_inference.models.session import Feed, Session, Tensor
from media_inference.runtime.session import Shape


@dataclass(slots=True, eq=False)
class _Call:
    """One caller's rows. ``together``: most rows in a pass that it may be part of."""

    session: Session
    feeds: Mapping[str, Feed]
    together: int
    urgency: int
    since: float
    changed: threading.Event = field(default_factory=threading.Event)
    party: Sequence["_Call"] = ()
    outputs: dict[str, Tensor] = field(default_factory=dict)
    error: BaseException | None = None

    @property
    def rows(self) -> int:
        return len(next(iter(self.feeds.values())))

    @property
    def done(self) -> bool:
        return bool(self.outputs) or self.error is not None

    def joins(self, first: "_Call") -> bool:
        """Whether both can go through the graph as one."""
        return self.session is first.session and self.shape == first.shape

    @property
    def shape(self) -> tuple[int, Mapping[str, tuple[int, ...]]]:
        return self.together, {name: feed.shape[1:] for name, feed in self.feeds.items()}


class Batcher:
    """Lets at most ``runs`` passes run at once, the most urgent first, then first come, first served.

    ``largest``: most rows in a pass that is shared. A pass that is not full waits for more, for ``patience`` seconds at
    most, while ``company``, the number of jobs under way, says that some may still come; a job of the highest priority
    waits for nobody. ``calls``: how many came so far. Safe for any number of threads.
    """

    def __init__(self, *, runs: int, patience: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.largest = 1
        self.company: Callable[[], int] = lambda: 0
        self._free = runs
        self._patience = patience
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting: list[_Call] = []
        self._inside = 0
        self.calls = 0

    def run(self, session: Session, feeds: Mapping[str, Feed], together: int) -> dict[str, Tensor]:
        """The outputs for these rows; raises what the session raises for them."""
        call = _Call(session, feeds, min(together, self.largest), urgency(), self._monotonic())
        with self._lock:
            self._inside += 1
            self.calls += 1
            self._waiting.append(call)
            self._waiting.sort(key=lambda waiting: (-waiting.urgency, waiting.since))
            self._give_turns()
        while not call.done:
            call.changed.wait(self._until_impatient(call))
            call.changed.clear()
            if call.party:
                self._run_party(call)
            elif not call.done:
                with self._lock:
                    self._give_turns()
        with self._lock:
            self._inside -= 1
        return _result(call)

    def _until_impatient(self, call: _Call) -> float | None:
        """Seconds until this call waits no longer for company; None when it doesn't now, but for its turn."""
        left = call.since + self._patience - self._monotonic()
        return left if left > 0 else None

    def _give_turns(self) -> None:
        """Hands out the turns that are free. Call it with the lock."""
        while self._free and (party := self._next_party()):
            self._free -= 1
            for call in party:
                self._waiting.remove(call)
            party[0].party = party
            party[0].changed.set()

    def _next_party(self) -> list[_Call]:
        """Who goes next; nobody while it is worth to wait."""
        for first in self._waiting:
            party, rows = [first], first.rows
            for other in self._waiting:
                if other is not first and other.joins(first) and rows + other.rows <= first.together:
                    party.append(other)
                    rows += other.rows
            if rows >= first.together or not self._worth_waiting(party):
                return party
        return []

    def _worth_waiting(self, party: Sequence[_Call]) -> bool:
        patient = all(call.urgency < HIGHEST_PRIORITY for call in party)
        young = self._monotonic() - min(call.since for call in party) < self._patience
        return patient and young and self.company() > self._inside

    def _run_party(self, first: _Call) -> None:
        """One pass for all; if that fails, one for each, so that nobody fails for another's sake."""
        party, first.party = first.party, ()
        try:
            if len(party) == 1 or not _run_together(party):
                for call in party:
                    _run_alone(call)
        finally:
            with self._lock:
                self._free += 1
                self._give_turns()
            for call in party:
                call.changed.set()


def _run_together(party: Sequence[_Call]) -> bool:
    """Whether one pass served them all."""
    names = party[0].feeds
    with suppress(JobError):
        outputs = party[0].session.run({name: np.concatenate([call.feeds[name] for call in party]) for name in names})
        ends = np.cumsum([call.rows for call in party])
        if all(len(output) == ends[-1] for output in outputs.values()):
            for call, end in zip(party, ends, strict=True):
                call.outputs = {name: output[end - call.rows : end] for name, output in outputs.items()}
            return True
    return False


def _run_alone(call: _Call) -> None:
    try:
        call.outputs = call.session.run(call.feeds)
    except BaseException as error:  # noqa: BLE001  # it is raised again, by the thread whose call this is
        call.error = error


def _result(call: _Call) -> dict[str, Tensor]:
    """The outputs, or raises the error.

    The frames of an error's traceback know the call. If that still knew the error, both would live until a collection,
    and so would the pictures of all frames between, for whose memory others may wait.
    """
    if call.error is None:
        return call.outputs
    error, call.error = call.error, None
    try:
        raise error
    finally:
        del error


class BatchedSession:
    """A session whose passes are shared; everything else is the session's own."""

    def __init__(self, session: Session, batcher: Batcher) -> None:
        self._session = session
        self._batcher = batcher

    @property
    def input_names(self) -> tuple[str, ...]:
        """As the session's."""
        return self._session.input_names

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """As the session's."""
        return self._session.input_shapes

    @property
    def input_types(self) -> tuple[str, ...]:
        """As the session's."""
        return self._session.input_types

    @property
    def output_names(self) -> tuple[str, ...]:
        """As the session's."""
        return self._session.output_names

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """As the session's."""
        return self._session.output_shapes

    def run(self, feeds: Mapping[str, Feed], *, together: int = 1) -> dict[str, Tensor]:
        """As the session's, for these rows alone, whoever else's went through the graph with them."""
        return self._batcher.run(self._session, feeds, together)
