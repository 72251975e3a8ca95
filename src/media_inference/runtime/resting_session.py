"""Sessions that let their engine go while nobody uses them."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import structlog

from media_inference.errors import CannotStart, ErrorCode, TransientError
from media_inference.models.session import Feed, Tensor
from media_inference.runtime.memory import give_back_memory
from media_inference.runtime.session import OrtSession, Shape

log = structlog.get_logger()

Clock = Callable[[], float]
"""Seconds that only ever rise."""


class RestingSession:
    """A session that `rest` lets go when it was idle for ``ttl`` seconds, and `run` loads again.

    ``load`` reads and checks the file each time. Safe for several threads: a run that is under way keeps the engine.
    """

    def __init__(
        self, session: OrtSession, load: Callable[[], OrtSession], *, ttl: float, clock: Clock = time.monotonic
    ) -> None:
        self.input_names = session.input_names
        self.input_shapes: tuple[Shape, ...] = session.input_shapes
        self.input_types = session.input_types
        self.output_names = session.output_names
        self.output_shapes: tuple[Shape, ...] = session.output_shapes
        self._session: OrtSession | None = session
        self._load, self._ttl, self._clock = load, ttl, clock
        self._lock = threading.Lock()
        self._runs = 0
        self._idle_since = clock()

    @property
    def loaded(self) -> bool:
        """Whether it holds an engine now."""
        return self._session is not None

    def run(self, feeds: Mapping[str, Feed], *, together: int = 1) -> dict[str, Tensor]:  # noqa: ARG002  # others batch
        """As `OrtSession.run`; raises `TransientError` (`model_unavailable`) when the file can't be loaded again."""
        with self._awake() as session:
            return session.run(feeds)

    def due(self) -> float:
        """After how many seconds `rest` may have something to do."""
        with self._lock:
            if self._runs or self._session is None:
                return self._ttl
            return max(0.0, self._ttl - (self._clock() - self._idle_since))

    def rest(self) -> bool:
        """Lets the engine go if it was idle for long enough; returns whether it did."""
        with self._lock:
            is_due = self._runs == 0 and self._clock() - self._idle_since >= self._ttl
            if self._session is None or not is_due:
                return False
            self._session = None
            return True

    @contextmanager
    def _awake(self) -> Iterator[OrtSession]:
        with self._lock:
            session = self._session = self._session or self._load_again()
            self._runs += 1
        try:
            yield session
        finally:
            with self._lock:
                self._runs -= 1
                self._idle_since = self._clock()

    def _load_again(self) -> OrtSession:
        try:
            return self._load()
        except CannotStart as error:
            log.warning("model.not_loaded_again", action="load", reason=str(error))
            raise TransientError(ErrorCode.MODEL_UNAVAILABLE, "the model's file can't be loaded again") from error


def rest_when_idle(sessions: Sequence[RestingSession], stopped: threading.Event) -> None:
    """Lets each session rest when its time has come, until ``stopped``; for a thread of its own."""
    while not stopped.wait(min(session.due() for session in sessions)):
        rested = [session.rest() for session in sessions]
        if any(rested):
            give_back_memory()
            log.info("models.unloaded", action="rest", graphs=sum(rested))
