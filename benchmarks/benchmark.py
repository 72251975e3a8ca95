"""What a benchmark is, and what it comes to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.bench import Bench


@dataclass(frozen=True, slots=True)
class Bar:
    """What a number must be."""

    sign: Literal["≥", "≤", "<"]
    value: float
    unit: str = ""

    def holds(self, value: float) -> bool:
        """Whether a number is as it must be."""
        return {"≥": value >= self.value, "≤": value <= self.value, "<": value < self.value}[self.sign]

    def __str__(self) -> str:
        return f"{self.sign} {self.value:,g} {self.unit}".strip()


@dataclass(frozen=True, slots=True)
class Claim:
    """A number that is held against a bar. Most are ratios of two sides that were measured in turns."""

    what: str
    value: float
    bar: Bar

    @property
    def holds(self) -> bool:
        """Whether the bar is reached."""
        return self.bar.holds(self.value)


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number: the median of its samples, one per turn, where it has any."""

    name: str
    value: float
    unit: str
    samples: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one side."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over one axis; ``across`` and ``up`` say of what, with units."""

    across: str
    up: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """``left_out`` says what could not be measured, and why.

    ``chart`` is what is drawn; without one the figures with the unit of the first are, as bars.
    """

    figures: tuple[Figure, ...]
    claims: tuple[Claim, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    chart: Chart | None = None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """``measure`` takes minutes, starts what it needs and ends it."""

    name: str
    title: str
    measure: Callable[[Bench], Outcome]
