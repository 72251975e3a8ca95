"""Job events over HTTP, on a real server, read with a real client."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from media_inference.api.event_feed import EventFeed, Pace
from media_inference.api.lines import Capacity, Places
from media_inference.api.services import Services
from media_inference.api.tokens import sign
from media_inference.jobs.job import NewJob
from media_inference.jobs.outcome import Findings
from media_inference.queue.events import EventLog, EventPage
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.repairs import Repairs
from media_inference.queue.wake import Wake
from tests.stands.running_service import until
from tests.stands.served_api import ServedApi, served

MOST_STREAMS = 10
NOTHING = Findings({"faces": []})

Event = dict[str, Any]
MakeFeed = Callable[..., EventFeed]


@pytest.fixture
def bell() -> Iterator[Wake]:
    """Rung after each event, as `up` does."""
    wake = Wake.pipe()
    yield wake
    wake.close()


@pytest.fixture
def make_feed(engine: sa.Engine, bell: Wake) -> Iterator[MakeFeed]:
    """A feed that looks once a minute, unless it is woken."""
    feeds: list[EventFeed] = []

    def make(**options: Any) -> EventFeed:
        given = {"poll_interval": 60, "most_streams": MOST_STREAMS} | options
        feeds.append(EventFeed(EventLog(engine), bell, **given))
        return feeds[-1]

    yield make
    for feed in feeds:
        feed.close()


@pytest.fixture
def feed(make_feed: MakeFeed) -> EventFeed:
    return make_feed()


@pytest.fixture
def services(services: Services, engine: sa.Engine, bell: Wake) -> Services:
    return replace(services, queue=JobQueue(engine, on_event=bell.ring))


@pytest.fixture
def api(services: Services) -> Iterator[ServedApi]:
    with served(services) as api:
        yield api


@pytest.fixture
def client(api: ServedApi, tokens: dict[str, str]) -> Iterator["Client"]:
    with Client(api, tokens["permission"]) as client:
        yield client


class Client(httpx2.Client):
    """A client with a token."""

    def __init__(self, api: ServedApi, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        super().__init__(base_url=api.url, headers=headers, timeout=20, trust_env=False)

    @contextmanager
    def follow(self, path: str = "/events", last_id: object = None) -> Iterator["Stream"]:
        """An open stream."""
        headers = {} if last_id is None else {"Last-Event-ID": str(last_id)}
        with self.sse(path, headers=headers) as source:
            assert source.response.status_code == 200, source.response.read()
            stream = Stream(iter(source))  # kept here: a stream that nobody holds is closed
            yield stream

    def read(self, path: str, last_id: object = None) -> list[Event]:
        """All events of a stream that ends."""
        with self.follow(path, last_id) as stream:
            return list(stream)


class Stream:
    """The events of a stream that have data; ``opened_at`` is the id that it began with."""

    def __init__(self, messages: Iterator[httpx2.ServerSentEvent]) -> None:
        self._messages = messages
        self.opened_at = next(messages).id

    def __iter__(self) -> Iterator[Event]:
        for message in self._messages:
            if message.data:
                event = json.loads(message.data)
                assert (message.id, message.event) == (
                    str(event.get("id", event.get("after"))),
                    event.get("type", "reset"),
                )
                yield event

    def take(self, count: int) -> list[Event]:
        """The next events."""
        return [next(iter(self)) for _ in range(count)]


def submit(services: Services, task_type: str = "face_detection") -> str:
    return services.queue.submit(NewJob(task_type, "1")).job_id


def complete(services: Services) -> None:
    claim = services.queue.claim("w")
    assert claim is not None
    services.queue.settle(claim, NOTHING, lambda: None)


def kinds(events: list[Event]) -> list[str]:
    return [event["type"] if "type" in event else f"reset: {event['reason']}" for event in events]


def ids(events: list[Event]) -> list[int]:
    return [event["id"] for event in events]


def test_the_stream_of_a_job_has_all_of_its_events_and_ends_with_it(services: Services, client: Client) -> None:
    job_id = submit(services)
    with client.follow(f"/job/{job_id}/events") as stream:
        assert kinds(stream.take(1)) == ["queued"]
        complete(services)
        rest = list(stream)
    assert kinds(rest) == ["started", "completed"]
    assert {event["job_id"] for event in rest} == {job_id}
    assert kinds(client.read(f"/job/{job_id}/events")) == ["queued", "started", "completed"]


def test_nobody_elses_events_are_in_the_stream_of_a_job(services: Services, client: Client) -> None:
    ours = submit(services)
    with client.follow(f"/job/{ours}/events") as stream:
        for _ in range(5):
            submit(services)
        complete(services)
        assert kinds(list(stream)) == ["queued", "started", "completed"]


def test_the_stream_of_a_job_needs_no_token_and_looks_like_this(services: Services, api: ServedApi) -> None:
    job_id = submit(services)
    complete(services)
    answer = httpx2.get(f"{api.url}/job/{job_id}/events", trust_env=False)
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"]) == ("no-store", "no")
    at = [event.at for event in services.feed.log.of_job(job_id, 0).events]
    about = '"task_type": "face_detection", "media_store_id": "1", "priority": 5'
    assert answer.text == (
        "id: 0\nretry: 3000\n\n"
        f'event: queued\ndata: {{"id": 1, "type": "queued", "job_id": "{job_id}", "at": {at[0]}, {about}}}\nid: 1\n\n'
        f'event: started\ndata: {{"id": 2, "type": "started", "job_id": "{job_id}", "at": {at[1]}, {about}, '
        '"attempt": 1}\nid: 2\n\n'
        f'event: completed\ndata: {{"id": 3, "type": "completed", "job_id": "{job_id}", "at": {at[2]}, {about}, '
        '"attempt": 1}\nid: 3\n\n'
    )


def test_a_client_that_has_seen_the_end_is_told_not_to_come_back(services: Services, client: Client) -> None:
    job_id = submit(services)
    complete(services)
    for last_id, status in ((1, 200), (2, 200), (3, 204)):
        headers = {"Last-Event-ID": str(last_id)}
        assert client.get(f"/job/{job_id}/events", headers=headers).status_code == status


def test_a_deleted_job_still_has_its_events_and_an_unknown_one_is_404(services: Services, client: Client) -> None:
    job_id = submit(services)
    services.queue.delete(job_id)
    assert kinds(client.read(f"/job/{job_id}/events")) == ["queued", "deleted"]
    answer = client.get("/job/00000000-0000-4000-8000-000000000000/events")
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


def test_a_job_that_is_deleted_ends_its_stream(services: Services, client: Client) -> None:
    job_id = submit(services)
    with client.follow(f"/job/{job_id}/events") as stream:
        services.queue.delete(job_id)
        assert kinds(list(stream)) == ["queued", "deleted"]


def test_the_stream_of_a_job_that_runs_again_goes_on_until_its_next_end(
    services: Services, client: Client, engine: sa.Engine
) -> None:
    job_id = submit(services)
    complete(services)
    Repairs(engine).run_again([job_id])
    with client.follow(f"/job/{job_id}/events") as stream:
        assert kinds(stream.take(4)) == ["queued", "started", "completed", "queued"]
        complete(services)
        assert kinds(list(stream)) == ["started", "completed"]


def test_an_event_that_comes_between_a_look_and_the_wait_is_not_missed(
    services: Services, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed, page = services.feed, services.feed.page
    newcomers: list[str] = []

    async def come_in_between(after: int, job_id: str | None = None) -> EventPage:
        found = await page(after, job_id)
        if not found.events and not newcomers:
            told = feed.changed()
            newcomers.append(await asyncio.to_thread(submit, services))
            await told.wait()
        return found

    monkeypatch.setattr(feed, "page", come_in_between)
    begun = time.monotonic()
    with client.follow() as stream:
        assert [event["job_id"] for event in stream.take(1)] == newcomers
    assert time.monotonic() - begun < Pace().heartbeat / 2, "it was found when the heartbeat was due"


def test_the_stream_of_all_jobs_begins_with_what_comes_next(services: Services, client: Client) -> None:
    submit(services)
    with client.follow() as stream:
        assert stream.opened_at == "1"
        submit(services)
        complete(services)
        assert ids(stream.take(3)) == [2, 3, 4]


def test_a_client_that_is_cut_before_its_first_event_misses_nothing(services: Services, client: Client) -> None:
    submit(services)
    with client.follow() as stream:
        last_id = stream.opened_at
    submit(services)
    with client.follow(last_id=last_id) as stream:
        assert ids(stream.take(1)) == [2]


def test_a_stream_goes_on_exactly_behind_the_last_id(services: Services, client: Client) -> None:
    for _ in range(250):
        submit(services)
    with client.follow(last_id=20) as stream:
        assert ids(stream.take(230)) == list(range(21, 251))
        submit(services)
        assert ids(stream.take(1)) == [251]
    with client.follow("/events?after=248") as stream:
        assert ids(stream.take(3)) == [249, 250, 251]
    with client.follow("/events?after=3", last_id=249) as stream:
        assert ids(stream.take(2)) == [250, 251]


@pytest.mark.parametrize(
    ("last_id", "begins"),
    [
        (3, ["reset: trimmed", "6"]),
        (5, ["6"]),
        (11, ["reset: unknown", "6"]),
        ("nonsense", ["reset: unknown", "6"]),
        ("9" * 30, ["reset: unknown", "6"]),
        ("-1", ["reset: unknown", "6"]),
    ],
)
def test_a_client_that_cannot_go_on_gets_a_reset_first(
    services: Services, client: Client, last_id: object, begins: list[str]
) -> None:
    for _ in range(10):
        submit(services)
    services.feed.log.trim(10**12, most=5)
    with client.follow(last_id=last_id) as stream:
        first = stream.take(len(begins))
    assert [kinds([event])[0] if "reason" in event else str(event["id"]) for event in first] == begins
    if len(first) == 2:
        assert first[0]["after"] == 5


def test_what_is_trimmed_of_a_job_is_told_once(services: Services, client: Client) -> None:
    job_id = submit(services)
    complete(services)
    services.feed.log.trim(10**12, most=1)
    events = client.read(f"/job/{job_id}/events")
    assert kinds(events) == ["reset: trimmed", "completed"]
    assert client.get(f"/job/{job_id}/events", headers={"Last-Event-ID": "3"}).status_code == 204


def test_a_reader_that_is_overtaken_by_the_trimming_is_told(
    services: Services, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("media_inference.api.event_feed._TAIL", 5)
    for _ in range(120):
        submit(services)
    page = services.feed.log.page

    def trim_behind_the_first_page(after: int, limit: int) -> object:
        if after == 100:
            services.feed.log.trim(10**12, most=10)
        return page(after, limit)

    monkeypatch.setattr(services.feed.log, "page", trim_behind_the_first_page)
    with client.follow(last_id=0) as stream:
        assert ids(stream.take(100)) == list(range(1, 101))
        reset, following = stream.take(2)
    assert reset == {"reason": "trimmed", "after": 110}
    assert following["id"] == 111


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("type=completed", [3]),
        ("type=completed,queued", [1, 3, 4]),
        ("task_type=image_embedding", [4, 5]),
        ("task_type=image_embedding&type=started", [5]),
        ("task_type=image_embedding,face_detection", [1, 2, 3, 4, 5]),
    ],
)
def test_a_filter_lets_through_what_is_wanted(
    services: Services, client: Client, query: str, expected: list[int]
) -> None:
    submit(services)
    complete(services)
    submit(services, "image_embedding")
    services.queue.claim("w")
    with client.follow(f"/events?after=0&{query}") as stream:
        assert ids(stream.take(len(expected))) == expected
    with client.follow(f"/events?{query}") as stream:
        submit(services)
        submit(services, "image_embedding")
        services.queue.claim("w")
        complete(services)
        live = ids(stream.take(1))
    assert live[0] > 5


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("type=finished", "invalid_request"),
        ("after=-1", "invalid_request"),
        ("after=x", "invalid_request"),
        ("afer=1", "invalid_request"),
        ("task_type=face_swap", "unknown_task_type"),
    ],
)
def test_a_wrong_query_is_422(supporter: TestClient, query: str, code: str) -> None:
    answer = supporter.get(f"/events?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_a_silent_stream_beats(services: Services, make_feed: MakeFeed, tokens: dict[str, str]) -> None:
    beating = replace(services, feed=make_feed(pace=Pace(heartbeat=0.05)))
    job_id = submit(services)
    with (
        served(beating) as api,
        Client(api, tokens["permission"]) as client,
        client.stream("GET", f"/job/{job_id}/events") as answer,
    ):
        lines = answer.iter_lines()
        for _ in range(3):
            assert next(line for line in lines if line.startswith(":")) == ": heartbeat"


def test_a_filtered_stream_moves_on_with_what_it_leaves_out(
    services: Services, make_feed: MakeFeed, tokens: dict[str, str]
) -> None:
    beating = replace(services, feed=make_feed(pace=Pace(heartbeat=0.05)))
    with (
        served(beating) as api,
        Client(api, tokens["permission"]) as client,
        client.stream("GET", "/events?type=failed") as answer,
    ):
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith("id")) == "id: 0"
        submit(services)
        assert next(line for line in lines if line.startswith("id")) == "id: 1"


def test_more_streams_than_there_are_places_for_are_told_to_come_back(
    services: Services, make_feed: MakeFeed, tokens: dict[str, str]
) -> None:
    narrow = replace(services, feed=make_feed(most_streams=1))
    with served(narrow) as api, Client(api, tokens["permission"]) as client:
        with client.follow():
            answer = client.get("/events")
            assert (answer.status_code, answer.json()["code"]) == (503, "too_busy")
            assert int(answer.headers["Retry-After"]) >= 1
        until(lambda: narrow.feed.is_full, lambda full: not full)
        with client.follow():
            pass


def test_a_client_may_not_take_the_places_of_all_others(
    services: Services, make_feed: MakeFeed, tokens: dict[str, str]
) -> None:
    wide = replace(services, feed=make_feed(most_streams=10, most_per_client=1))
    job_id = submit(wide)
    with served(wide) as api, Client(api, tokens["permission"]) as client:
        with client.follow():
            answer = client.get("/events")
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")
            assert int(answer.headers["Retry-After"]) >= 1
            with client.follow(f"/job/{job_id}/events"):  # no token is asked for here: that one is this address
                assert client.get(f"/job/{job_id}/events").status_code == 429
        until(lambda: wide.feed.has_enough("subject somebody"), lambda enough: not enough)
        with client.follow():
            pass


def test_open_streams_take_no_places_of_other_requests(services: Services, tokens: dict[str, str]) -> None:
    one = Places(1, 0)
    with (
        served(replace(services, capacity=Capacity(reads=one, writes=one))) as api,
        Client(api, tokens["permission"]) as client,
    ):
        with client.follow(), client.follow():
            for _ in range(3):
                assert client.post("/job/face_detection", json={"media_store_id": "1"}).status_code == 201
        assert client.post("/job/face_detection", json={"media_store_id": "1"}).status_code == 201


def test_a_stream_ends_when_its_token_does(
    services: Services, api: ServedApi, keys: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("media_inference.api.tokens.CLOCK_SKEW", 0.0)
    token = sign(keys[0], subject="me", permissions=["ai_inference_support"], ttl_seconds=4)
    begun = time.monotonic()
    with Client(api, token) as client, client.follow() as stream:
        submit(services)
        assert kinds(list(stream)) == ["queued"]
    assert time.monotonic() - begun < 10


def deaf_reader(api: ServedApi, token: str) -> socket.socket:
    """Asks for all events and reads none."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect(api.address)
    reader.sendall(f"GET /events?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    return reader


def many_events(services: Services, engine: sa.Engine) -> None:
    """Some megabytes of them, more than the sockets hold."""
    submit(services)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) "
            "INSERT INTO events (job_id, type, at, data) "
            "SELECT job_id, type, at, data FROM n, events WHERE event_id = 1"
        )


def test_a_reader_that_takes_nothing_is_cut_and_costs_a_few_pages(
    services: Services, engine: sa.Engine, make_feed: MakeFeed, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    many_events(services, engine)
    impatient = replace(services, feed=make_feed(most_streams=1, pace=Pace(patience=0.3)))
    pages: list[int] = []
    page = impatient.feed.log.page

    def count(after: int, limit: int) -> object:
        pages.append(after)
        return page(after, limit)

    monkeypatch.setattr(impatient.feed.log, "page", count)
    with served(impatient) as api, deaf_reader(api, tokens["permission"]) as reader:
        until(lambda: len(pages) > 1, bool)  # the first one is read before the stream has its place
        until(lambda: impatient.feed.is_full, lambda full: not full)
        until(api.connections, lambda count: count == 0)
        read = [after for after in pages if after < 60_000]  # the others are of the look for what is new
        assert max(read) < 30_000, "what does not fit into the sockets stays in the table"
        assert not what_came(reader).endswith(b"\r\n0\r\n\r\n"), "the answer was not brought to an end"


def what_came(reader: socket.socket) -> bytes:
    """All that is left to read of a connection that is gone."""
    content = b""
    try:
        while more := reader.recv(1 << 16):
            content += more
    except ConnectionResetError:
        pass
    return content


def test_a_server_that_stops_ends_its_streams_at_once(
    services: Services, engine: sa.Engine, make_feed: MakeFeed, tokens: dict[str, str]
) -> None:
    many_events(services, engine)
    wide = replace(services, feed=make_feed(most_streams=40))
    token = tokens["permission"]
    ended = threading.Barrier(21)

    def listen(api: ServedApi) -> None:
        with Client(api, token) as client, client.follow() as stream:
            ended.wait()
            assert list(stream) == []
        ended.wait()

    with served(wide) as api:
        for _ in range(20):
            threading.Thread(target=listen, args=(api,), daemon=True).start()
        ended.wait(60)
        with deaf_reader(api, token), deaf_reader(api, token):
            until(lambda: len(wide.feed._listeners), lambda count: count == 22)
            begun = time.monotonic()
            api.stop()
            took = time.monotonic() - begun
        ended.wait(60)
    assert took < 2


def test_all_streams_share_one_look_and_idle_ones_ask_nothing(
    services: Services, engine: sa.Engine, client: Client
) -> None:
    looks: list[str] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT") and "FROM events" in statement:
            looks.append(statement)

    with ExitStack() as stack:
        streams = [stack.enter_context(client.follow()) for _ in range(MOST_STREAMS)]
        submit(services)
        for stream in streams:
            stream.take(1)  # now all of them read from memory
        looks.clear()
        for _ in range(5):
            submit(services)
            for stream in streams:
                stream.take(1)
        assert len(looks) <= 5 * 2 * 2, "two statements for each look, and a ring may cause two looks"
    until(lambda: services.feed._follower, lambda follower: follower is None)
    looks.clear()
    submit(services)
    assert looks == []


def test_without_a_ring_events_are_found_by_polling(
    services: Services, engine: sa.Engine, make_feed: MakeFeed, tokens: dict[str, str]
) -> None:
    polling = replace(services, feed=make_feed(poll_interval=0.05))
    silent = JobQueue(engine)
    with served(polling) as api, Client(api, tokens["permission"]) as client, client.follow() as stream:
        silent.submit(NewJob("face_detection", "1"))
        assert kinds(stream.take(1)) == ["queued"]
