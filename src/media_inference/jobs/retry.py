"""When to try a job again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential delays with jitter: the n-th lies between half of, and the whole of, ``first * 2**(n-1)`` seconds.

    Half of the delay is random so that jobs that failed together do not return together.
    """

    first: float = 1.0
    longest: float = 300.0

    def delay(self, failures: int, chance: float) -> float:
        """Seconds to wait after the ``failures``-th failure (1 or more); ``chance`` is a random number in [0, 1)."""
        whole = min(self.longest, self.first * 2.0 ** min(failures - 1, 60))
        return whole * (0.5 + 0.5 * chance)
