"""Health, probes, request ids and the access log."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa
import structlog
from fastapi.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from media_inference.api.request_log import RequestLog
from media_inference.api.services import Services
from media_inference.errors import CannotStart, ErrorCode, TransientError

Serve = Callable[[Services], TestClient]


def test_a_healthy_service_says_so_with_details(stranger: TestClient) -> None:
    answer = stranger.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "healthy", "checks": {"vector_store": {"points": 0, "status": "ok"}}}


def test_one_broken_check_makes_the_service_unhealthy(services: Services, stranger: TestClient) -> None:
    services.vectors.close()
    answer = stranger.get("/health")
    assert answer.status_code == 503
    assert answer.json()["status"] == "unhealthy"
    assert answer.json()["checks"]["vector_store"] == {"status": "broken", "detail": "the vector store is closed"}


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (TransientError(ErrorCode.MEDIA_UNAVAILABLE, "the media folder can't be read"), "the media folder"),
        (CannotStart("/secret/path is missing"), "the log"),
        (ZeroDivisionError("hunter2"), "the log"),
    ],
)
def test_a_broken_check_tells_clients_no_secrets(
    services: Services, serve: Serve, error: Exception, detail: str
) -> None:
    def explode() -> dict[str, object]:
        raise error

    answer = serve(replace(services, checks={"fine": dict, "bad": explode})).get("/health")
    checks = answer.json()["checks"]
    assert checks["fine"] == {"status": "ok"}
    assert checks["bad"]["status"] == "broken"
    assert checks["bad"]["detail"].startswith(detail)
    assert "secret" not in answer.text
    assert "hunter2" not in answer.text


def test_the_probes_answer(stranger: TestClient) -> None:
    assert stranger.get("/livez").json() == {"status": "alive"}
    assert stranger.get("/readyz").json() == {"status": "ready"}
    assert stranger.get("/version").json() == {"version": "1.2.3"}


def test_without_its_tables_the_service_is_alive_but_not_ready(stranger: TestClient, engine: sa.Engine) -> None:
    with engine.begin() as tx:
        tx.exec_driver_sql("DROP TABLE jobs")
    with structlog.testing.capture_logs():
        answer = stranger.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert stranger.get("/livez").status_code == 200


def test_a_request_id_is_echoed_or_made(stranger: TestClient) -> None:
    assert stranger.get("/livez", headers={"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"
    first, second = (stranger.get("/livez").headers["X-Request-ID"] for _ in range(2))
    assert first != second
    for unfit in ("", "a b", "x" * 129, '"}'):
        assert stranger.get("/livez", headers={"X-Request-ID": unfit}).headers["X-Request-ID"] != unfit


def test_each_request_is_one_line_in_the_log_with_its_route_and_no_id(stranger: TestClient) -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        stranger.get("/job/00000000-0000-4000-8000-000000000000", headers={"X-Request-ID": "abc"})
        stranger.get("/nothing")
    assert lines[0].pop("duration_ms") >= 0
    assert lines[0] == {
        "event": "request answered",
        "log_level": "info",
        "action": "http_request",
        "method": "GET",
        "route": "/job/{job_id}",
        "status": 404,
        "request_id": "abc",
    }
    assert (lines[1]["route"], lines[1]["status"]) == (None, 404)
    assert len(lines) == 2


def test_half_an_answer_is_broken_off() -> None:
    async def half(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    sent: list[str] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with structlog.testing.capture_logs() as lines, pytest.raises(ZeroDivisionError):
        asyncio.run(RequestLog(half, unlogged=())(scope, receive, send))
    assert sent == ["http.response.start"]
    assert [line["action"] for line in lines] == ["request_failed", "http_request"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/version", "/health", "/metrics"])
def test_what_machines_ask_all_the_time_is_not_logged(stranger: TestClient, path: str) -> None:
    with structlog.testing.capture_logs() as lines:
        stranger.get(path)
    assert lines == []
