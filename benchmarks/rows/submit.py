"""How many jobs the API takes per second, each on disk before it is answered."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from statistics import quantiles

from benchmarks.bench import Bench
from benchmarks.benchmark import Bar, Benchmark, Claim, Figure, Outcome
from benchmarks.disk import sync_milliseconds
from benchmarks.http_load import CONNECTIONS, BadAnswer, Load, post, send_all, send_for
from benchmarks.measured_service import MeasuredService, measured_service
from benchmarks.peer_server import peer_server
from benchmarks.turns import in_turns
from tests.stands.free_port import free_port

ONE, MANY, NOTHING = "POST /job", "POST /jobs, 1,000 at once", "a route that does nothing"
AT_ONCE = 1000


def measure(bench: Bench) -> Outcome:
    """Requests per second over 16 connections, and jobs per second of requests with 1,000."""
    loads: dict[str, list[Load]] = {ONE: [], NOTHING: []}
    with ExitStack() as stack:
        service = stack.enter_context(measured_service(bench, "submit", {}, command="serve"))
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.sides.nothing", port]
        stack.enter_context(peer_server(command, port, bench.folder, ready="/openapi.json"))

        def one() -> float:
            return _rate(loads[ONE], service.port, post("/job/face_detection", _body(1), service.running.token), bench)

        def nothing() -> float:
            return _rate(loads[NOTHING], port, post("/nothing", _body(1)), bench)

        turns = in_turns({ONE: one, NOTHING: nothing}, bench.scale.turns)
        sync = sync_milliseconds(bench.folder)
        many, left_out = _many(service, bench)
    return Outcome(
        figures=(
            *turns.figures("requests/s"),
            *many,
            *_beside(sync, {name: taken[-1] for name, taken in loads.items()}),
        ),
        claims=(
            Claim("POST /job of a FastAPI route that does nothing", turns.ratio(ONE, NOTHING), Bar("≥", 0.6)),
            *(Claim("POST /jobs", figure.value, Bar("≥", 10_000, "jobs/s")) for figure in many),
        ),
        notes=(f"{CONNECTIONS} connections, with a token, `serve` without workers: nobody takes jobs meanwhile.",),
        left_out=left_out,
    )


def _beside(sync: float, last: Mapping[str, Load]) -> Iterator[Figure]:
    """What the disk allows, and how the last load of each side looked."""
    yield Figure("one sync of this disk", sync, "ms")
    yield Figure(f"{CONNECTIONS} connections ÷ one sync", CONNECTIONS / sync * 1000, "per s")
    for name, load in last.items():
        yield Figure(f"{name}, slowest of a hundred", quantiles(load.milliseconds, n=100)[98], "ms")
        yield Figure(f"{name}, the client's share of a core", load.client_share, "")


def _rate(loads: list[Load], port: int, request: bytes, bench: Bench) -> float:
    loads.append(send_for(port, [request], bench.scale.seconds / 2, status=201))
    return loads[-1].per_second


def _body(media_id: int) -> dict[str, object]:
    return {"media_store_id": str(media_id)}


def _many(service: MeasuredService, bench: Bench) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    """Jobs per second of large requests, one after the other; nothing where the service has no such route."""
    jobs = [{"task_type": "face_detection", **_body(number)} for number in range(AT_ONCE)]
    request = post("/jobs", {"jobs": jobs}, service.running.token)
    count = max(1, bench.scale.submissions // AT_ONCE)

    def many() -> float:
        load = send_all(service.port, [request] * count, status=200, connections=1)
        assert [answer["status"] for answer in json.loads(load.last_body)["results"]] == [201] * AT_ONCE
        return load.per_second * AT_ONCE

    try:
        turns = in_turns({MANY: many}, bench.scale.turns)
    except BadAnswer as error:
        return (), (f"{MANY}: {error}",)
    return tuple(turns.figures("jobs/s")), ()


SUBMIT = Benchmark("submit", "submitting", measure)
