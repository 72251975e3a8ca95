"""The queue without the rest of the service: jobs claimed and settled per second."""

from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.bench import Bench
from benchmarks.benchmark import Bar, Benchmark, Claim, Figure, Outcome
from benchmarks.child import Child, SideFailed, child
from benchmarks.disk import sync_milliseconds
from benchmarks.turns import Turns, in_turns

AT_ONCE = 8
"""Jobs that are claimed, and later settled, in one transaction."""

OURS, ONE_BY_ONE = f"ours, {AT_ONCE} at once", "ours, one by one"
HUEY, PROCRASTINATE = "huey on SQLite", "procrastinate on PostgreSQL"
CONCURRENCY = (1, 10)

Side = Callable[[], float]


def measure(bench: Bench) -> Outcome:
    """Each side takes as many jobs that were there before the clock began, does nothing with them, and settles them."""
    count, left_out = bench.scale.queue_jobs, list[str]()
    with ExitStack() as stack:
        own = stack.enter_context(child("benchmarks.sides.own_queue", [bench.folder / "own.db"], bench.folder))
        sides: dict[str, Side] = {
            OURS: lambda: _own(own, count, AT_ONCE),
            ONE_BY_ONE: lambda: _own(own, count, 1),
        }
        for name, start in ((HUEY, _huey), (PROCRASTINATE, _procrastinate)):
            try:
                sides[name] = start(bench, stack, count)
            except SideFailed as error:
                left_out.append(f"{name}: {error}")
        for side in sides.values():  # until each one's log has its size
            side()
        turns = in_turns(sides, bench.scale.turns)
        sync = sync_milliseconds(bench.folder)
    return Outcome(
        figures=(*turns.figures("jobs/s"), *_one_by_one(turns), Figure("one sync of this disk", sync, "ms")),
        claims=_claims(turns),
        notes=("All commits are synced. One process for each, which does nothing else.",),
        left_out=tuple(left_out),
    )


def _claims(turns: Turns) -> tuple[Claim, ...]:
    bars = {HUEY: 2.0, PROCRASTINATE: 1.0}
    return tuple(
        Claim(f"claim and settle, {AT_ONCE} at once ÷ {peer}", turns.ratio(OURS, peer), Bar("≥", bar, "×"))
        for peer, bar in bars.items()
        if peer in turns.samples
    )


def _one_by_one(turns: Turns) -> tuple[Figure, ...]:
    peers = [peer for peer in (HUEY, PROCRASTINATE) if peer in turns.samples]
    return tuple(Figure(f"{ONE_BY_ONE} ÷ {peer}", turns.ratio(ONE_BY_ONE, peer), "×") for peer in peers)


def _own(own: Child, count: int, at_once: int) -> float:
    own.ask(do="fill", count=count)
    return float(own.ask(do="work", at_once=at_once)["per_second"])


def _huey(bench: Bench, stack: ExitStack, count: int) -> Side:
    huey = _peer(bench, stack, "huey_queue", "huey.db")
    return lambda: float(huey.ask(count=count)["per_second"])


def _procrastinate(bench: Bench, stack: ExitStack, count: int) -> Side:
    """With the concurrency that is quicker here."""
    peer = _peer(bench, stack, "procrastinate_queue", "postgres")
    tried = {wide: float(peer.ask(count=count // 4, concurrency=wide)["per_second"]) for wide in CONCURRENCY}
    best = max(tried, key=tried.__getitem__)
    return lambda: float(peer.ask(count=count, concurrency=best)["per_second"])


def _peer(bench: Bench, stack: ExitStack, module: str, data: str) -> Child:
    module, python = f"benchmarks.peers.{module}", bench.peers()
    return stack.enter_context(child(module, [bench.folder / data], bench.folder, python=python))


QUEUE_ALONE = Benchmark("queue_alone", "queue alone", measure)
