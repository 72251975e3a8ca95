"""Requests of one kind don't take the places of another."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
import structlog

from media_inference.api.admission import Admission, TurnAway
from media_inference.api.lines import MOST_HELD, QUEUE_STAYS_FULL, Capacity, Lines, Pause, Places
from media_inference.api.services import Services
from media_inference.jobs.job import NewJob
from media_inference.queue.engine import writing
from tests.stands.own_time import own_time, run_in_own_time
from tests.stands.running_service import until
from tests.stands.served_api import served

UNKNOWN_JOB = "00000000-0000-4000-8000-000000000000"


@contextmanager
def locked(engine: sa.Engine) -> Iterator[None]:
    """Nobody else can write."""
    with writing(engine):
        yield


def test_reads_are_answered_while_every_write_waits_for_the_database(
    services: Services, engine: sa.Engine, tokens: dict[str, str]
) -> None:
    job = services.queue.submit(NewJob("face_detection", "1", 5))
    headers = {"Authorization": f"Bearer {tokens['permission']}"}
    few = replace(services, capacity=Capacity(submissions=Places(6, 64), patience=60))
    endless = httpx2.Limits(max_connections=None)
    with (
        served(few) as api,
        httpx2.Client(base_url=api.url, headers=headers, limits=endless, trust_env=False, timeout=60) as client,
        ThreadPoolExecutor(100) as posters,
    ):

        def post() -> int:
            return client.post("/job/face_detection", json={"media_store_id": "1"}).status_code

        with locked(engine):
            posted = [posters.submit(post) for _ in range(100)]
            until(lambda: sum(one.done() for one in posted), lambda done: done >= 30)
            assert {one.result() for one in posted if one.done()} == {503}
            for _ in range(20):
                assert client.get(f"/job/{job.job_id}").status_code == 200
            assert sum(one.done() for one in posted) == 30, "the writes still wait"
        statuses = [one.result() for one in posted]
    assert (statuses.count(201), statuses.count(503)) == (70, 30)  # 6 that run and 64 that wait


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", f"/job/{UNKNOWN_JOB}", "reads"),
        ("HEAD", "/openapi.json", "reads"),
        ("POST", "/job/face_detection", "submissions"),
        ("POST", "/jobs", "submissions"),
        ("DELETE", f"/job/{UNKNOWN_JOB}", "writes"),
        ("POST", "/search/faces", "searches"),
        ("POST", "/media", "uploads"),
    ],
)
def test_a_kind_that_is_full_refuses_its_own_alone(services: Services, method: str, path: str, kind: str) -> None:
    kinds: dict[str, Any] = dict.fromkeys(("reads", "submissions", "writes", "searches", "uploads"), Places(0, 0))
    full = Capacity(pause=0, **{kind: kinds.pop(kind)})
    for capacity, refused in ((full, True), (Capacity(pause=0, **kinds), False)):
        with served(replace(services, capacity=capacity)) as api:
            answer = httpx2.request(method, api.url + path, trust_env=False)
        assert (answer.status_code == 503) is refused
        assert ("Retry-After" in answer.headers) is refused


def test_whoever_waits_too_long_for_a_turn_is_refused_and_leaves_the_line() -> None:
    async def run() -> list[int]:
        let_go = asyncio.Event()
        admission = Admission(
            _waits_for(let_go), Lines(Capacity(reads=Places(1, 1), patience=0.05, pause=0), always=())
        )
        first = asyncio.create_task(_ask(admission))
        await asyncio.sleep(0)
        refused = [await _ask(admission), await _ask(admission)]  # the second one finds the line empty, not full
        let_go.set()
        return [await first, *refused, await _ask(admission)]

    assert asyncio.run(run()) == [200, 503, 503, 200]


def test_refusals_are_held_back_for_a_moment_and_counted_in_the_log() -> None:
    async def run() -> float:
        admission = Admission(_waits_for(asyncio.Event()), Lines(Capacity(reads=Places(0, 0), pause=0.1), always=()))
        started = asyncio.get_running_loop().time()
        await asyncio.gather(*(_ask(admission) for _ in range(50)))
        return asyncio.get_running_loop().time() - started

    with structlog.testing.capture_logs() as lines:
        assert asyncio.run(run()) >= 0.1
    assert [line["action"] for line in lines] == ["refuse_requests"]


def test_a_429_of_the_application_is_held_back_too_but_holds_no_place() -> None:
    async def app(_scope: object, _receive: object, send: Callable[[dict[str, object]], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 429, "headers": []})

    async def run() -> list[int]:
        admission = Admission(app, Lines(Capacity(reads=Places(1, 0), pause=0.1), always=()))
        started = asyncio.get_running_loop().time()
        first = asyncio.create_task(_ask(admission))
        await asyncio.sleep(0)
        answers = [await _ask(admission), await first]
        assert asyncio.get_running_loop().time() - started >= 0.05  # half of the pause, as chance has it
        return answers

    assert asyncio.run(run()) == [429, 429]


def test_who_would_find_no_place_is_turned_away_before_anything_is_read_of_him(services: Services) -> None:
    """With the answer that anybody else would get, but for its request id."""
    full = replace(services, capacity=Capacity(submissions=Places(0, 0), pause=0))
    with served(full) as api:
        answer = httpx2.post(
            f"{api.url}/job/face_detection",
            content=b"{" * 100_000,  # deeper than any body may be: whoever looked at it would say 400
            headers={"X-Request-ID": "mine"},
            trust_env=False,
        )
        own = httpx2.post(f"{api.url}/job/face_detection", trust_env=False).headers["X-Request-ID"]
    assert (answer.status_code, answer.json()["code"]) == (503, "too_busy")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Request-ID"] == "mine"
    assert re.fullmatch("[0-9a-f]{32}", own)


def test_while_the_queue_is_full_only_a_key_that_may_be_known_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    now = [1000.0]
    monkeypatch.setattr("media_inference.api.lines.time", SimpleNamespace(monotonic=lambda: now[0]))

    async def app(_scope: object, _receive: object, send: Callable[[dict[str, object]], Awaitable[None]]) -> None:
        asked.append(1)
        await send({"type": "http.response.start", "status": 429, "headers": []})

    async def run() -> list[int]:
        lines = Lines(Capacity(pause=0), always=())
        layer = TurnAway(Admission(app, lines), lines)
        key = [(b"idempotency-key", b"k")]
        post = {"method": "POST", "path": "/job/face_detection"}
        answers = [await _ask(layer, **post), await _ask(layer, **post), await _ask(layer, **post, headers=key)]
        assert lines.verdict({"type": "http", "headers": [], "method": "GET", "path": "/job/1"}) is None
        many = await _ask(layer, method="POST", path="/jobs")  # each of them is answered for itself
        now[0] += QUEUE_STAYS_FULL
        return [*answers, many, await _ask(layer, **post)]

    assert asyncio.run(run()) == [429, 429, 429, 429, 429]
    assert len(asked) == 4, "the second one was not asked"


def test_refusals_are_held_back_for_longer_while_the_event_loop_is_late() -> None:
    async def run() -> tuple[float, float, float]:
        pause = Pause(0.05)
        first = asyncio.create_task(_seconds_of(pause))
        await asyncio.sleep(0)
        own_time().be_late(0.3)
        late = await first
        longer = await _seconds_of(pause)
        later = [await _seconds_of(pause) for _ in range(25)]
        return late, longer, later[-1]

    late, longer, shorter = run_in_own_time(run())
    assert late >= 0.3
    assert longer >= 0.1, "by half less than the pause is now"
    assert shorter < 0.1, "by half more than it was at first"


def test_one_late_turn_of_the_loop_does_not_hold_hundreds_back_for_long() -> None:
    async def run() -> tuple[float, float]:
        pause = Pause(0.05)
        crowd = [asyncio.create_task(pause.over()) for _ in range(300)]
        await asyncio.sleep(0)
        own_time().be_late(0.25)  # once
        await asyncio.gather(*crowd)
        after = await _seconds_of(pause)
        for _ in range(20):
            await asyncio.gather(*(pause.over() for _ in range(100)))
        return after, await _seconds_of(pause)

    after, later = run_in_own_time(run())
    assert after < 1.0
    assert later < 0.2


def test_no_more_refusals_are_held_back_than_there_can_be_clients() -> None:
    async def run() -> tuple[float, float]:
        pause = Pause(0.2)
        held = [asyncio.create_task(pause.over()) for _ in range(MOST_HELD)]
        await asyncio.sleep(0)
        beyond = await _seconds_of(pause)
        await asyncio.gather(*held)
        return beyond, await _seconds_of(pause)

    beyond, next_one = run_in_own_time(run())
    assert beyond == 0
    assert next_one >= 0.1


async def _seconds_of(pause: Pause) -> float:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await pause.over()
    return loop.time() - begun


def _waits_for(event: asyncio.Event) -> Callable[..., Awaitable[None]]:
    async def app(_scope: object, _receive: object, send: Callable[[dict[str, object]], Awaitable[None]]) -> None:
        await event.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    return app


async def _ask(app: Admission | TurnAway, **given: Any) -> int:
    sent = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], **given}
    await app(scope, asyncio.Event().wait, send)  # type: ignore[arg-type]  # nobody receives
    status = sent[0]["status"]
    assert isinstance(status, int)
    return status
