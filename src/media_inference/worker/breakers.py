"""All that a worker may find away, as one breaker."""

import threading
from collections.abc import Mapping

from media_inference.errors import Dependency, DependencyAway
from media_inference.worker.breaker import Breaker


class Breakers:
    """A breaker per dependency. Closed while all of them are. Safe for several threads."""

    def __init__(self, breakers: Mapping[Dependency, Breaker]) -> None:
        self._breakers = breakers
        self._lock = threading.Lock()

    def resume(self) -> None:
        """Takes over what earlier workers put on record."""
        for breaker in self._breakers.values():
            breaker.resume()

    def trip(self, error: DependencyAway) -> None:
        """The dependency that the error names is away."""
        with self._lock:
            self._breakers[error.dependency].trip(error)

    def closed(self) -> bool:
        """Whether work may go on; probes the first that is open when it is time to."""
        with self._lock:
            return all(breaker.closed() for breaker in self._breakers.values())

    def well(self) -> bool:
        """Whether all are closed; False also where that takes a probe, or somebody is at one."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return all(breaker.well() for breaker in self._breakers.values())
        finally:
            self._lock.release()

    def worked(self) -> None:
        """An attempt came to an end of its own."""
        with self._lock:
            for breaker in self._breakers.values():
                breaker.worked()

    def wait(self) -> float:
        """Seconds until the next probe; 0 when all are closed."""
        with self._lock:
            return min((wait for breaker in self._breakers.values() if (wait := breaker.wait())), default=0.0)
