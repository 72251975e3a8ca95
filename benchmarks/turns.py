"""Sides measured in turns, because a machine is never as quick now as it was a minute ago."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from benchmarks.benchmark import Figure


@dataclass(frozen=True, slots=True)
class Turns:
    """What each side came to in each turn."""

    samples: Mapping[str, tuple[float, ...]]

    def ratio(self, one: str, other: str) -> float:
        """The median of the ratios turn by turn, so that a slow minute is slow for both."""
        return median(a / b for a, b in zip(self.samples[one], self.samples[other], strict=True))

    def median(self, side: str) -> float:
        """What a side came to in the middle turn."""
        return median(self.samples[side])

    def figures(self, unit: str) -> Iterator[Figure]:
        """A figure per side."""
        for side, samples in self.samples.items():
            yield Figure(side, median(samples), unit, samples)


def in_turns(sides: Mapping[str, Callable[[], float]], turns: int) -> Turns:
    """Measures A B C A B C …; each side's function runs one turn and returns its number."""
    samples: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(turns):
        for side, measure in sides.items():
            samples[side].append(measure())
    return Turns({side: tuple(taken) for side, taken in samples.items()})
