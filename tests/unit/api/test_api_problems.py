"""What clients are told when something is wrong, whatever it is."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NoReturn

import pytest
import sqlalchemy as sa
import structlog
from fastapi.testclient import TestClient
from httpx2 import Response

from media_inference.api.lines import Capacity, Places
from media_inference.api.problems import MEANINGS, ProblemCode
from media_inference.api.services import Services
from media_inference.errors import ErrorCode, PermanentError, TransientError
from media_inference.queue.job_records import JobRecords

Serve = Callable[[Services], TestClient]

UNKNOWN_JOB = "00000000-0000-4000-8000-000000000000"
SECRET = "hunter2"


def _check_problem(answer: Response, status: int, code: str) -> None:
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert list(body) == ["type", "title", "status", "detail", "code"]
    assert body["status"] == status
    assert body["type"] == f"/docs#{code}"
    assert body["title"]
    assert body["detail"].endswith(".")
    assert answer.headers["X-Request-ID"]
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert SECRET not in answer.text
    assert "Traceback" not in answer.text


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ProblemCode)


@pytest.mark.parametrize("path", ["/", "/nothing", "/job", "/job/", "/job/a/b", "/docs/", "/job/image_embedding/"])
def test_an_unknown_address_is_404(stranger: TestClient, path: str) -> None:
    _check_problem(stranger.get(path), 404, "not_found")


def test_a_wrong_method_is_405_and_names_the_right_ones(stranger: TestClient) -> None:
    answer = stranger.put(f"/job/{UNKNOWN_JOB}")
    _check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "DELETE, GET, HEAD, POST"
    assert stranger.post("/health").headers["Allow"] == "GET, HEAD"
    assert stranger.post("/docs").status_code == 405


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="cut short"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"hunter2"', id="a string"),
        pytest.param(b"null", id="null"),
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"media_store_id": "hunter2 "}', id="a wrong value"),
        pytest.param(b'{"media_store_id": "1", "<hunter2>": 1}', id="a wrong name"),
    ],
)
def test_a_wrong_body_is_422_and_is_not_repeated(supporter: TestClient, body: bytes) -> None:
    answer = supporter.post("/job/face_detection", content=body, headers={"Content-Type": "application/json"})
    _check_problem(answer, 422, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"media_store_id": "\xff"}', id="not UTF-8"),
        pytest.param(b'{"media_store_id": ' + b"9" * 5000 + b"}", id="an integer of 5000 digits"),
        pytest.param(b"[" * 60_000, id="nested 60,000 deep"),
    ],
)
def test_a_body_that_can_not_be_read_is_400(supporter: TestClient, body: bytes) -> None:
    answer = supporter.post("/job/face_detection", content=body, headers={"Content-Type": "application/json"})
    _check_problem(answer, 400, "bad_request")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_a_body_that_is_not_json_is_415(supporter: TestClient, content_type: str) -> None:
    answer = supporter.post(
        "/job/face_detection", content=b'{"media_store_id": "1"}', headers={"Content-Type": content_type}
    )
    _check_problem(answer, 415, "unsupported_media_type")


def test_a_body_that_declares_to_be_too_large_is_413(supporter: TestClient) -> None:
    body = json.dumps({"media_store_id": "1", "padding": "x" * 70_000})
    answer = supporter.post("/job/face_detection", content=body, headers={"Content-Type": "application/json"})
    _check_problem(answer, 413, "body_too_large")


def test_a_body_that_turns_out_too_large_is_413(supporter: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(70):
            yield b" " * 1000

    answer = supporter.post("/job/face_detection", content=chunks(), headers={"Content-Type": "application/json"})
    _check_problem(answer, 413, "body_too_large")


def test_a_declared_length_beyond_all_bounds_is_413(supporter: TestClient) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": "9" * 5000}
    _check_problem(supporter.post("/job/face_detection", content=b"{}", headers=headers), 413, "body_too_large")


def test_what_nobody_foresaw_is_500_without_a_word_about_it_and_is_logged(services: Services, serve: Serve) -> None:
    broken = replace(services, records=_failing(services.records, RuntimeError(f"{SECRET} in /etc/secret")))
    with structlog.testing.capture_logs() as lines:
        answer = serve(broken).get(f"/job/{UNKNOWN_JOB}")
    _check_problem(answer, 500, "internal")
    assert "/etc" not in answer.text
    assert [line["action"] for line in lines] == ["request_failed", "http_request"]
    assert lines[1]["status"] == 500


@pytest.mark.parametrize(
    ("error", "code", "retry_after"),
    [
        (TransientError(ErrorCode.STORAGE_FULL, "full"), "storage_full", "60"),
        (TransientError(ErrorCode.VECTOR_STORE_UNAVAILABLE, "away"), "vector_store_unavailable", "5"),
        (TransientError(ErrorCode.MEDIA_UNAVAILABLE, "away", retry_after=6.2), "unavailable", "7"),
        (PermanentError(ErrorCode.MEDIA_FORBIDDEN, SECRET), "internal", None),
    ],
)
def test_what_a_store_raises_becomes_an_answer(
    services: Services, serve: Serve, error: Exception, code: str, retry_after: str | None
) -> None:
    answer = serve(replace(services, records=_failing(services.records, error))).get(f"/job/{UNKNOWN_JOB}")
    _check_problem(answer, 500 if retry_after is None else 503, code)
    assert answer.headers.get("Retry-After") == retry_after


def test_a_database_that_does_not_answer_is_503(stranger: TestClient, engine: sa.Engine) -> None:
    with engine.begin() as tx:
        tx.exec_driver_sql("DROP TABLE jobs")
    with structlog.testing.capture_logs():
        answer = stranger.get(f"/job/{UNKNOWN_JOB}")
    _check_problem(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert "SELECT" not in answer.text


def test_more_requests_than_allowed_are_told_to_come_back(services: Services, serve: Serve) -> None:
    full = serve(replace(services, capacity=Capacity(reads=Places(0, 0), pause=0.01)))
    answer = full.get(f"/job/{UNKNOWN_JOB}")
    _check_problem(answer, 503, "too_busy")
    assert answer.headers["Retry-After"] == "1"
    assert full.get("/livez").status_code == 200
    room = serve(replace(services, capacity=Capacity(reads=Places(1, 0))))
    for _ in range(3):
        assert room.get(f"/job/{UNKNOWN_JOB}").status_code == 404


def test_strangers_get_401_with_a_challenge(stranger: TestClient) -> None:
    answer = stranger.delete(f"/job/{UNKNOWN_JOB}")
    _check_problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_missing_permission_is_403_and_is_named(admin: TestClient, supporter: TestClient) -> None:
    answer = admin.delete(f"/job/{UNKNOWN_JOB}")
    _check_problem(answer, 403, "forbidden")
    assert "ai_inference_support" in answer.json()["detail"]
    assert "is_admin" in supporter.get("/admin/stats").json()["detail"]


def _failing(records: JobRecords, error: Exception) -> Any:
    """The same records, except that reading a job raises: a disk can't be made to fail on demand."""

    class Failing(JobRecords):
        def get(self, job_id: str) -> NoReturn:
            error.add_note(job_id)
            raise error

    return Failing(records._engine)
