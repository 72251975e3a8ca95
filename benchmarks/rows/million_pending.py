"""What a long queue costs: claims and statistics with a thousand pending jobs, and with a million."""

import time
from pathlib import Path
from statistics import median, quantiles

from benchmarks.bench import Bench
from benchmarks.benchmark import Bar, Benchmark, Claim, Figure, Outcome
from benchmarks.child import Child, child
from benchmarks.measured_service import first_start
from benchmarks.turns import in_turns
from tests.stands.running_service import RunningService, running_service

FEW = 1000
CLAIMS = 200
ASKED = 100


def measure(bench: Bench) -> Outcome:
    """Claims in turns on both databases, then `/admin/stats` of a service on the larger one."""
    few, many = min(FEW, bench.scale.pending), bench.scale.pending
    folder, module = bench.new_folder("pending"), "benchmarks.sides.own_queue"
    first_start(folder)
    with (
        child(module, [bench.folder / "few.db"], bench.folder) as short,
        child(module, [folder / "data" / "inference.db"], folder) as long,
    ):
        short.ask(do="fill", count=few)
        long.ask(do="fill", count=many)
        names = f"claim with {few:,} pending", f"claim with {many:,} pending"
        medians: dict[str, list[float]] = {name: [] for name in names}

        def claims(name: str, own: Child) -> float:
            answer = own.ask(do="claim", count=min(CLAIMS, few))
            medians[name].append(answer["median"])
            return float(answer["p99"])

        for name, own in zip(names, (short, long), strict=True):
            claims(name, own)
        turns = in_turns(
            {names[0]: lambda: claims(names[0], short), names[1]: lambda: claims(names[1], long)}, bench.scale.turns
        )
    asked = _statistics(folder)
    return Outcome(
        figures=(
            *turns.figures("ms, slowest of a hundred"),
            *(Figure(name, median(taken), "ms, median") for name, taken in medians.items()),
            Figure("/admin/stats", median(asked), "ms, median"),
        ),
        claims=(
            Claim(
                "slowest of a hundred claims, × that with a thousand", turns.ratio(names[1], names[0]), Bar("≤", 2, "×")
            ),
            Claim("slowest of a hundred /admin/stats", quantiles(asked, n=100)[98], Bar("<", 50, "ms")),
        ),
    )


def _statistics(folder: Path) -> list[float]:
    """Milliseconds of each request."""
    with running_service(folder, command="serve") as service:
        _ask(service)
        return [_ask(service) for _ in range(ASKED)]


def _ask(service: RunningService) -> float:
    begun = time.perf_counter()
    answer = service.request("GET", "/admin/stats")
    assert answer.status_code == 200, answer.text
    return (time.perf_counter() - begun) * 1000


MILLION_PENDING = Benchmark("million_pending", "1,000,000 pending jobs", measure)
