"""Whether a worker that never rests keeps its size."""

from collections.abc import Sequence
from itertools import combinations
from statistics import median

import numpy as np

from benchmarks.bench import Bench
from benchmarks.benchmark import Bar, Benchmark, Chart, Claim, Curve, Figure, Outcome
from benchmarks.measured_service import measured_service
from benchmarks.process_tree import resident_mb

Point = tuple[float, float]
"""Jobs, and MB after them."""

SIZE = (320, 240)
LOOKS = 40
SETTLED = 0.2
"""Part of the jobs after which a worker has what it needs."""


def measure(bench: Bench) -> Outcome:
    """The worker's resident memory after each of some dozen portions of jobs, and how the later ones rise."""
    portion = max(1, bench.scale.memory_jobs // LOOKS)
    photos = bench.photos(SIZE, portion)
    with measured_service(bench, "memory", {"MEDIA_STORE_URL": photos.path.as_uri()}) as service:
        (worker,) = service.running.worker_pids()
        points: list[Point] = []
        rates: list[float] = []
        for look in range(1, bench.scale.memory_jobs // portion + 1):
            rates.append(service.drain(["image_embedding"], photos.media_ids).per_second)
            points.append((look * portion, resident_mb(worker)))
        assert service.running.worker_pids() == [worker], "the worker was replaced"
    slope = growth(points)
    return Outcome(
        figures=(
            Figure("growth per 1,000 jobs", slope, "MB"),
            Figure("growth per 1,000 jobs, by least squares", growth_by_least_squares(points), "MB"),
            Figure("worker at the start", points[0][1], "MB"),
            Figure("worker at the end", points[-1][1], "MB"),
            Figure("jobs completed", median(rates), "jobs/s"),
        ),
        claims=(Claim(f"growth per 1,000 jobs, over {points[-1][0]:,.0f}", slope, Bar("<", 1, "MB")),),
        notes=(f"`gabor-512` on photos of {SIZE[0]}×{SIZE[1]}, one worker.",),
        chart=Chart("jobs", "resident memory of the worker, MB", (Curve("worker", tuple(points)),)),
    )


def growth(points: Sequence[Point]) -> float:
    """MB per 1,000 jobs: the median of the slopes between any two looks (Theil 1950, Sen 1968).

    Where the heap ends when a look is taken is chance, and up to 90 MB of freed memory lie there: those looks are few,
    and a line of least squares would follow them.
    """
    later = settled(points)
    slopes = [(mb - before) / (jobs - earlier) for (earlier, before), (jobs, mb) in combinations(later, 2)]
    return median(slopes) * 1000 if slopes else 0.0


def growth_by_least_squares(points: Sequence[Point]) -> float:
    """The same as the slope of the line of least squares."""
    later = np.array(settled(points))
    return float(np.polyfit(later[:, 0], later[:, 1], 1)[0]) * 1000 if len(later) > 1 else 0.0


def settled(points: Sequence[Point]) -> Sequence[Point]:
    """The looks without the first fifth."""
    return points[int(len(points) * SETTLED) :]


MEMORY = Benchmark("memory", "worker memory at full load", measure)
