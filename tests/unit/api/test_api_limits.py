"""Clients that keep their requests waiting."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from starlette.types import Message, Scope

from media_inference.api.app import create_app
from media_inference.api.services import Services

PIECE = 16 * 1024


def _scope(path: str, token: str) -> Scope:
    headers = {"content-type": "application/json", "content-length": "60000", "authorization": f"Bearer {token}"}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


def _answer_to(services: Services, scope: Scope, pieces: Sequence[bytes]) -> Message:
    """How the answer to a request starts whose body stops after ``pieces`` while its connection stays open."""
    waiting = list(pieces)
    sent: list[Message] = []

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": waiting.pop(0), "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        async with asyncio.timeout(20):
            await create_app(services)(scope, receive, send)

    asyncio.run(run())
    return sent[0]


@pytest.mark.parametrize("path", ["/job/face_detection", "/search/faces"])
def test_a_body_that_never_ends_is_408_and_its_connection_is_closed(
    services: Services, tokens: dict[str, str], path: str
) -> None:
    start = _answer_to(replace(services, body_seconds=0.05), _scope(path, tokens["permission"]), [b"{"])
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]


def test_a_body_that_comes_gets_more_time(services: Services, tokens: dict[str, str]) -> None:
    started = time.monotonic()
    start = _answer_to(
        replace(services, body_seconds=0.05), _scope("/job/face_detection", tokens["permission"]), [b" " * PIECE]
    )
    assert start["status"] == 408
    assert time.monotonic() - started >= 1
