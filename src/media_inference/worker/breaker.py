"""The circuit breaker between a worker and one dependency."""

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
    the dependency is away. The outage is on record for everybody to see. A dependency may answer the probe and still
    refuse all work (429): until `worked` says that something got through, each trip waits longer than the one before.
    ``watch`` costs next to nothing: it is asked before each claim, and trips the breaker when it raises.
    """

    def __init__(
        self,
        dependency: Dependency,
        probe: Callable[[], None],
        outages: OutageRecords,
        *,
        watch: Callable[[], None] = lambda: None,
        backoff: Backoff | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._dependency = dependency
        self._probe = probe
        self._outages = outages
        self._watch = watch
        self._backoff = backoff or Backoff(first=0.5, longest=5.0)
        self._monotonic = monotonic
        self._chance = chance
        self._relapses = Backoff(self._backoff.first, longest=20.0)
        self._open = False
        self._trips = 0
        self._tries = 0
        self._next_try = 0.0

    def resume(self) -> None:
        """Takes over an outage that an earlier worker put on record: it holds until a probe succeeds."""
        if any(outage.dependency == self._dependency for outage in self._outages.current()):
            self._open, self._trips, self._tries = True, 1, 1

    def trip(self, error: TransientError) -> None:
        """The dependency is away."""
        if not self._trips:
            log.warning("dependency.away", action="trip", dependency=self._dependency, reason=error.message)
        self._open = True
        self._trips += 1
        self._tries = 0
        self._wait_longer(error, self._relapses.delay(self._trips, self._chance()))

    def closed(self) -> bool:
        """Whether work may go on; probes when it is time to."""
        if not self._open:
            return self.well()
        if self._monotonic() < self._next_try:
            return False
        try:
            self._probe()
        except TransientError as error:
            self._wait_longer(error)
            return False
        self._outages.end(self._dependency)
        self._open = False
        return True

    def well(self) -> bool:
        """Whether it is closed, without a probe."""
        if self._open:
            return False
        try:
            self._watch()
        except TransientError as error:
            self.trip(error)
            return False
        return True

    def worked(self) -> None:
        """An attempt came to an end of its own; if that did not trip this, the outage is over for good."""
        if self._trips and not self._open:
            log.info("dependency.back", action="probe", dependency=self._dependency, after_tries=self._tries)
            self._trips = self._tries = 0

    def wait(self) -> float:
        """Seconds until the next probe; 0 when it is closed."""
        return max(0.0, self._next_try - self._monotonic()) if self._open else 0.0

    def _wait_longer(self, error: TransientError, at_least: float = 0.0) -> None:
        self._tries += 1
        delay = max(self._backoff.delay(self._tries, self._chance()), error.retry_after or 0.0, at_least)
        self._next_try = self._monotonic() + delay
        self._outages.begin(self._dependency, error.message)  # each time: somebody else may have thought it was over
