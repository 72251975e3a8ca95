"""The threads that keep the outside in step, one per dependency."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from media_inference.errors import DatabaseUnavailable, Dependency, TransientError
from media_inference.jobs.retry import Backoff
from media_inference.queue.outages import OutageRecords
from media_inference.queue.wake import Wake, wait_for

log = structlog.get_logger()


class Publisher(Protocol):
    """Carries something outside."""

    def publish_some(self) -> int:
        """Publishes a part of what waits and returns how much; raises `TransientError` while the outside is away."""
        ...


@dataclass(frozen=True, slots=True)
class RelayState:
    """``failures`` in a row, and what the last one was, in words for clients; none when all is well."""

    running: bool
    failures: int
    last_error: str | None


class Relay:
    """Publishes when it is woken, and every ``poll_interval`` seconds in case nobody rang.

    It is the circuit breaker of its ``dependency`` at the same time: while that is away, an outage is on record and one
    try after growing delays is all that it gets; what waits stays where it is and loses nothing. ``on_round`` is called
    after each round, to wake who comes next. ``finish``: on being stopped, it publishes all that is ready first. What
    comes while a round is on, or for as long as ``rest`` says, shares the next one: it gets the seconds since the last
    round began and returns how many more are to pass. ``page``: a round that publishes fewer has left nothing behind.
    """

    def __init__(
        self,
        dependency: Dependency,
        publisher: Publisher,
        outages: OutageRecords,
        *,
        poll_interval: float,
        rest: Callable[[float], float] = lambda _since: 0.0,
        page: int = 1,
        finish: bool = False,
        on_round: Callable[[], None] = lambda: None,
        wake: Wake | None = None,
    ) -> None:
        self._dependency = dependency
        self._publisher = publisher
        self._outages = outages
        self._wake = wake or Wake.pipe()
        self._poll_interval = poll_interval
        self._rest = rest
        self._page = page
        self._begun = 0.0
        self._finish = finish
        self._on_round = on_round
        self._backoff = Backoff(first=0.5, longest=8.0)
        self._stop = Wake.pipe()
        self._stopping = False
        self._on_record = True  # an earlier process may have left an outage there
        self._failures = 0
        self._last_error: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"relay-{dependency}", daemon=True)

    def start(self) -> None:
        """Begins to publish. What an earlier process said of the dependency counts until the first good round."""
        self._thread.start()

    def stop(self, patience: float | None = None) -> None:
        """Ends, within ``patience`` seconds if any are given: then it may leave a last try to whoever cuts it off."""
        self._stopping = True
        self._stop.ring()
        self._thread.join(patience)

    def ring(self) -> None:
        """There is something to publish."""
        self._wake.ring()

    def state(self) -> RelayState:
        """How it goes."""
        return RelayState(self._thread.is_alive(), self._failures, self._last_error)

    def _run(self) -> None:
        while True:
            last_round = self._stopping
            delay = self._publish_all()
            self._on_round()
            if last_round:
                return
            if not self._stopping:
                wait_for(*((self._stop,) if self._failures else (self._stop, self._wake)), timeout=delay)

    def _publish_all(self) -> float:
        """Publishes until nothing waits; returns how long to rest, in seconds."""
        try:
            while (self._finish or not self._stopping) and (done := self._round()):
                self._on_round()
                if done < self._page:
                    break
            if self._finish or not self._stopping:  # else nobody asked whether it is back
                self._note_success()
        except DatabaseUnavailable:
            return self._note_failure("the database does not answer")
        except TransientError as error:
            if not self._stopping:
                self._begin_outage(error.message)
            return self._note_failure(error.message, error.retry_after)
        except Exception:
            if not self._stopping:  # else it is what was cut off
                log.exception("relay.error", action="publish", dependency=self._dependency)
            return self._note_failure("an unexpected error; the log says which")
        return self._poll_interval

    def _round(self) -> int:
        while not self._stopping and (rest := self._rest(time.monotonic() - self._begun)) > 0:
            wait_for(self._stop, self._wake, timeout=rest)  # who rings may be the last that was waited for
        self._wake.drain()  # whoever rang before this round has written before it too
        self._begun = time.monotonic()
        return self._publisher.publish_some()

    def _note_success(self) -> None:
        if self._on_record:
            self._outages.end(self._dependency)
            self._on_record = False
        if self._failures:
            log.info("relay.recovered", action="publish", dependency=self._dependency, after_tries=self._failures)
        self._failures, self._last_error = 0, None

    def _note_failure(self, reason: str, retry_after: float | None = None) -> float:
        self._failures += 1
        self._last_error = reason
        if self._failures == 1:
            log.warning("relay.waiting", action="publish", dependency=self._dependency, reason=reason)
        delay = self._backoff.delay(self._failures, random.random())  # noqa: S311  # jitter, not a secret
        return max(delay, retry_after or 0.0)

    def _begin_outage(self, reason: str) -> None:
        self._on_record = True
        try:
            self._outages.begin(self._dependency, reason)
        except (DatabaseUnavailable, TransientError) as error:
            log.warning("outage.not_recorded", action="publish", dependency=self._dependency, error=str(error))
