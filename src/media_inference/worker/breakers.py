"""All that a worker may find away, as one breaker."""

from collections.abc import Mapping

from media_inference.errors import Dependency, DependencyAway
from media_inference.worker.breaker import Breaker


class Breakers:
    """A breaker per dependency. Closed while all of them are."""

    def __init__(self, breakers: Mapping[Dependency, Breaker]) -> None:
        self._breakers = breakers

    def resume(self) -> None:
        """Takes over what earlier workers put on record."""
        for breaker in self._breakers.values():
            breaker.resume()

    def trip(self, error: DependencyAway) -> None:
        """The dependency that the error names is away."""
        self._breakers[error.dependency].trip(error)

    def closed(self) -> bool:
        """Whether work may go on; probes the first that is open when it is time to."""
        return all(breaker.closed() for breaker in self._breakers.values())

    def worked(self) -> None:
        """An attempt came to an end of its own."""
        for breaker in self._breakers.values():
            breaker.worked()

    def wait(self) -> float:
        """Seconds until the next probe; 0 when all are closed."""
        return min((wait for breaker in self._breakers.values() if (wait := breaker.wait())), default=0.0)
