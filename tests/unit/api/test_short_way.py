"""A plain `POST /job/{task_type}` takes a short way; whatever is sent, the answer is that of the long one."""

import itertools
import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient

from media_inference.api.app import create_app
from media_inference.api.services import Services
from media_inference.api.short_way import ShortWay
from media_inference.api.tokens import OpenAccess
from media_inference.queue.job_queue import JobQueue

PLAIN = b'{"media_store_id": "image-789", "priority": 7}'
BODIES = (
    PLAIN,
    b'{"media_store_id": 12}',
    b'{"media_store_id": 5.0, "priority": 3.0}',
    b'{"media_store_id": -0}',
    b'{"media_store_id": -0.0}',
    b'{"media_store_id": 1e2}',
    b'{"media_store_id": 9007199254740993}',
    b'{"media_store_id": 9007199254740993.0}',
    b'{"media_store_id": 123456789012345678901234567890}',
    b'{"media_store_id": ' + b"9" * 200 + b"}",
    b'{"media_store_id": ' + b"9" * 5000 + b"}",
    b'{"media_store_id": "1", "media_store_id": "2"}',
    b'{"priority": 1, "media_store_id": "1", "priority": 2}',
    b'{"priority": "x", "media_store_id": "1", "priority": 2}',
    b' \r\n\t{"media_store_id":\n"\\u0031"} ',
    b'{"media_store_id": "1", "priority": true}',
    b'{"media_store_id": "1", "priority": null}',
    b'{"media_store_id": "1", "priority": 11}',
    b'{"media_store_id": "1", "priority": NaN}',
    b'{"media_store_id": NaN}',
    b'{"media_store_id": "1", "other": 1}',
    b'{"media_store_id": "1", "task_type": "face_detection"}',
    b'{"media_store_id": true}',
    b'{"media_store_id": "../x"}',
    b'{"media_store_id": "1\\n"}',
    b'{"media_store_id": "\\ud800"}',
    b'{"media_store_id": "1"',
    b'{"media_store_id": "1"} x',
    b'{"media_store_id": "1",}',
    b"{}",
    b"[]",
    b'"x"',
    b"null",
    b"",
    b"\xff",
    b"\xef\xbb\xbf" + PLAIN,
    PLAIN.decode().encode("utf-16"),
    b"[" * 40,
)
TYPES = ("application/json", "Application/JSON", "application/json; charset=utf-8", "text/plain", "a/b+json", None)
PATHS = ("face_detection", "image_embedding", "nothing", "face_detection/", "face%5Fdetection", "face_detection?a=b")
KEYS = ((), ("one",), ("a b",), ("",), ("one", "two"), ("x" * 256,))

_numbers = itertools.count()

Serve = Callable[[Services], TestClient]
Request = dict[str, Any]


def long_way(services: Services) -> FastAPI:
    """The application without its short way."""
    app = create_app(services)
    app.user_middleware = [
        layer for layer in app.user_middleware if getattr(layer.cls, "__name__", "") != ShortWay.__name__
    ]
    return app


@pytest.fixture
def clients(services: Services, serve: Serve) -> tuple[TestClient, TestClient]:
    """Clients of the application as it is, and without its short way."""
    return serve(services), TestClient(long_way(services), raise_server_exceptions=False)


def request(path: str, body: bytes, kind: str | None, *, tokens: tuple[str, ...], keys: tuple[str, ...]) -> Request:
    headers = [("Authorization", token) for token in tokens] + [("Idempotency-Key", key) for key in keys]
    headers += [] if kind is None else [("Content-Type", kind)]
    return {"url": f"/job/{path}", "content": body, "headers": headers}


def fresh(asked: Request) -> Request:
    """The request with a key that nobody has used, where it has a good one."""
    headers = [(name, f"one-{next(_numbers)}" if value == "one" else value) for name, value in asked["headers"]]
    return {**asked, "headers": headers}


def seen(answer: httpx2.Response) -> tuple[int, dict[str, str], object]:
    """An answer without what differs from job to job."""
    headers = {name: value for name, value in answer.headers.items() if name not in {"x-request-id", "location"}}
    body = answer.json()
    if answer.status_code < 300:
        assert answer.headers["Location"] == f"/job/{body.pop('job_id')}"
        assert answer.content == answer.content.strip()
        del body["created_at"]
        headers.pop("content-length")
    return answer.status_code, headers, body


def authorizations(tokens: dict[str, str]) -> list[tuple[str, ...]]:
    good = f"Bearer {tokens['permission']}"
    others = [(f"Bearer {tokens[name]}",) for name in ("garbage", "expired", "plain", "both")]
    odd = [(good.lower()[:6] + good[6:],), (good.replace(" ", "  "),), (f"Basic {good}",), ("Bearer",), ("Bearer ",)]
    return [(good,), (), (good, good), ("", good), *others, *odd]


def test_both_ways_come_to_the_same_answers(clients: tuple[TestClient, TestClient], tokens: dict[str, str]) -> None:
    plain: list[Any] = ["face_detection", PLAIN, TYPES[0], authorizations(tokens)[0], ()]
    choices: list[list[Any]] = [list(PATHS), list(BODIES), list(TYPES), authorizations(tokens), list(KEYS)]
    one_odd = [[*plain[:n], odd, *plain[n + 1 :]] for n, some in enumerate(choices) for odd in some]
    dice = random.Random(1)  # noqa: S311  # chooses requests, no secret
    many_odd = [[dice.choice(some) for some in choices] for _ in range(200)]
    for path, body, kind, sent, keys in one_odd + many_odd:
        asked = request(path, body, kind, tokens=sent, keys=keys)
        short, long = (seen(client.post(**fresh(asked))) for client in clients)
        assert short == long, asked


def test_both_ways_refuse_alike_while_the_queue_is_full(services: Services, engine: sa.Engine, serve: Serve) -> None:
    full = replace(services, access=OpenAccess(), queue=JobQueue(engine, limit=0))
    clients = serve(full), TestClient(long_way(full))
    short, long = (seen(client.post("/job/face_detection", json={"media_store_id": "1"})) for client in clients)
    assert short == long
    assert short[0] == 429


@pytest.mark.parametrize("status", [503, 500])
def test_both_ways_tell_alike_that_the_database_fails(
    clients: tuple[TestClient, TestClient], engine: sa.Engine, tokens: dict[str, str], status: int
) -> None:
    broken = "ALTER TABLE jobs RENAME TO gone" if status == 503 else "CREATE UNIQUE INDEX one_job ON jobs (priority)"
    sent = request("face_detection", PLAIN, TYPES[0], tokens=(f"Bearer {tokens['permission']}",), keys=())
    clients[0].post(**sent)
    with engine.begin() as tx:
        tx.exec_driver_sql(broken)
    with structlog.testing.capture_logs():
        short, long = (seen(client.post(**sent)) for client in clients)
    assert short == long
    assert short[0] == status


def test_a_plain_request_takes_the_short_way(services: Services, tokens: dict[str, str]) -> None:
    app = create_app(services)
    app.router.routes.clear()
    client = TestClient(app)
    sent = request("face_detection", PLAIN, TYPES[0], tokens=(f"Bearer {tokens['permission']}",), keys=("k",))
    answers = [client.post(**sent) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert client.post(**{**sent, "content": b"{}"}).status_code == 404, "there is no long way here"


def test_the_answer_is_written_as_the_framework_writes_it(
    clients: tuple[TestClient, TestClient], tokens: dict[str, str]
) -> None:
    sent = request("face_detection", PLAIN, TYPES[0], tokens=(f"Bearer {tokens['permission']}",), keys=("k",))
    short, long = (client.post(**sent) for client in clients)
    assert short.content == long.content
    assert list(json.loads(short.content)) == [
        "job_id",
        "task_type",
        "media_store_id",
        "status",
        "priority",
        "created_at",
    ]
