"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """``layers`` of the network; the rest are counts for one turn of one side."""

    turns: int
    layers: int
    seconds: float
    photos: int
    large_photos: int
    idle_seconds: float
    submissions: int
    queue_jobs: int
    pending: int
    memory_jobs: int


FULL = Scale(
    turns=5,
    layers=12,
    seconds=10,
    photos=200,
    large_photos=120,
    idle_seconds=30,
    submissions=20_000,
    queue_jobs=2_000,
    pending=1_000_000,
    memory_jobs=20_000,
)
QUICK = Scale(
    turns=2,
    layers=12,
    seconds=3,
    photos=40,
    large_photos=12,
    idle_seconds=5,
    submissions=2_000,
    queue_jobs=300,
    pending=20_000,
    memory_jobs=1_000,
)
TINY = Scale(
    turns=1,
    layers=1,
    seconds=0.2,
    photos=4,
    large_photos=2,
    idle_seconds=0.5,
    submissions=50,
    queue_jobs=20,
    pending=100,
    memory_jobs=20,
)
"""For the tests of the harness: the numbers mean nothing."""
