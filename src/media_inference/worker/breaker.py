"""The circuit breaker between a worker and the media store."""

import random
import time
from collections.abc import Callable

import structlog

from media_inference.errors import Dependency, TransientError
from media_inference.jobs.retry import Backoff
from media_inference.queue.outages import OutageRecords

log = structlog.get_logger()


class Breaker:
    """Closed while the dependency answers. Once tripped it stays open until a probe succeeds.

    While it is open nothing is claimed; ``probe`` is tried after growing delays and raises `TransientError` as long as
    the dependency is away. The outage is on record for everybody to see.
    """

    def __init__(
        self,
        dependency: Dependency,
        probe: Callable[[], None],
        outages: OutageRecords,
        *,
        backoff: Backoff | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._dependency = dependency
        self._probe = probe
        self._outages = outages
        self._backoff = backoff or Backoff(first=0.5, longest=5.0)
        self._monotonic = monotonic
        self._chance = chance
        self._tries = 0
        self._next_try = 0.0

    def resume(self) -> None:
        """Takes over an outage that an earlier worker put on record: it holds until a probe succeeds."""
        if any(outage.dependency == self._dependency for outage in self._outages.current()):
            self._tries = 1

    def trip(self, error: TransientError) -> None:
        """The dependency is away."""
        if not self._tries:
            log.warning("dependency.away", action="trip", dependency=self._dependency, reason=error.message)
        self._wait_longer(error)

    def closed(self) -> bool:
        """Whether work may go on; probes when it is time to."""
        if not self._tries:
            return True
        if self._monotonic() < self._next_try:
            return False
        try:
            self._probe()
        except TransientError as error:
            self._wait_longer(error)
            return False
        log.info("dependency.back", action="probe", dependency=self._dependency, after_tries=self._tries)
        self._tries = 0
        self._outages.end(self._dependency)
        return True

    def wait(self) -> float:
        """Seconds until the next probe; 0 when it is closed."""
        return max(0.0, self._next_try - self._monotonic()) if self._tries else 0.0

    def _wait_longer(self, error: TransientError) -> None:
        self._outages.begin(self._dependency, error.message)  # each time: somebody else may have thought it was over
        self._tries += 1
        delay = self._backoff.delay(self._tries, self._chance())
        self._next_try = self._monotonic() + max(delay, error.retry_after or 0.0)
