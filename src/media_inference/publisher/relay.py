"""The thread that keeps the outside in step."""

import random
import threading
from dataclasses import dataclass

import structlog

from media_inference.errors import DatabaseUnavailable, TransientError
from media_inference.jobs.retry import Backoff
from media_inference.publisher.vectors import VectorPublisher
from media_inference.queue.wake import Wake, wait_for

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RelayState:
    """``failures`` in a row, and what the last one was, in words for clients; none when all is well."""

    running: bool
    failures: int
    last_error: str | None


class Relay:
    """Publishes when it is woken, and every ``poll_interval`` seconds in case nobody rang.

    While the outside is away it tries again with growing delays; what waits stays in the outbox and loses nothing.
    """

    def __init__(self, publisher: VectorPublisher, wake: Wake, poll_interval: float) -> None:
        self._publisher = publisher
        self._wake = wake
        self._poll_interval = poll_interval
        self._backoff = Backoff(first=0.5, longest=15.0)
        self._stop = Wake.pipe()
        self._stopping = False
        self._failures = 0
        self._last_error: str | None = None
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Begins to publish."""
        self._thread.start()

    def stop(self) -> None:
        """Publishes what is ready and ends."""
        self._stopping = True
        self._stop.ring()
        self._thread.join()
        self._stop.close()

    def state(self) -> RelayState:
        """How it goes."""
        return RelayState(self._thread.is_alive(), self._failures, self._last_error)

    def _run(self) -> None:
        while True:
            last_round = self._stopping
            delay = self._publish_all()
            if last_round:
                return
            if not self._stopping:
                wait_for(*((self._stop,) if self._failures else (self._stop, self._wake)), timeout=delay)

    def _publish_all(self) -> float:
        """Publishes until nothing waits; returns how long to rest, in seconds."""
        try:
            while self._publisher.publish_some():
                pass
        except TransientError as error:
            return self._note_failure(error, error.message)
        except DatabaseUnavailable as error:
            return self._note_failure(error, "the database does not answer")
        except Exception as error:
            log.exception("publisher.error", action="publish")
            return self._note_failure(error, "an unexpected error; the log says which")
        if self._failures:
            log.info("publisher.recovered", action="publish", after_failures=self._failures)
        self._failures, self._last_error = 0, None
        return self._poll_interval

    def _note_failure(self, error: Exception, told: str) -> float:
        self._failures += 1
        self._last_error = told
        if self._failures == 1:
            log.warning("publisher.waiting", action="publish", error=str(error))
        return self._backoff.delay(self._failures, random.random())  # noqa: S311  # jitter, not a secret
