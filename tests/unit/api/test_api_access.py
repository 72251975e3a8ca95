"""Who may do what: every route against every kind of caller."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa
import structlog
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from media_inference.api.app import create_app
from media_inference.api.event_feed import EventFeed
from media_inference.api.services import Services
from media_inference.api.tokens import OpenAccess
from media_inference.jobs.job import NewJob
from media_inference.media.folder_inbox import FolderInbox
from media_inference.queue.events import EventLog
from media_inference.queue.wake import Wake

Serve = Callable[[Services], TestClient]

CALLERS = ("nobody", "garbage", "expired", "plain", "permission", "admin", "both")
NOBODY, ANYBODY = (401, 401, 401), 7


def _open(status: int) -> tuple[int, ...]:
    return (status,) * ANYBODY


def _for_support(status: int) -> tuple[int, ...]:
    return (*NOBODY, 403, status, 403, status)


def _for_admins(status: int) -> tuple[int, ...]:
    return (*NOBODY, 403, 403, status, status)


# What a request without a body ends in, per caller. A route that is not here fails the first test.
EXPECTED = {
    ("post", "/job/{task_type}"): _for_support(422),
    ("post", "/jobs"): _for_support(422),
    ("get", "/job/{job_id}"): _open(404),
    ("delete", "/job/{job_id}"): _for_support(404),
    ("get", "/job/{job_id}/faces/{index}.jpg"): _open(404),
    ("get", "/job/{job_id}/events"): _open(404),
    ("get", "/events"): _for_support(503),  # there is no place for a stream, which would not end
    ("post", "/media"): _for_support(415),
    ("post", "/search/image_embeddings"): _for_support(422),
    ("post", "/search/faces"): _for_support(422),
    ("get", "/admin/stats"): _for_admins(200),
    ("delete", "/admin/cleanup"): _for_admins(200),
    ("post", "/admin/sync/retry"): _for_admins(200),
    ("get", "/health"): _open(200),
    ("get", "/livez"): _open(200),
    ("get", "/readyz"): _open(200),
    ("get", "/version"): _open(200),
    ("get", "/metrics"): _open(200),
}
OPEN_PAGES = {"/docs", "/openapi.json"}
PATHS = {"task_type": "image_embedding", "job_id": "00000000-0000-4000-8000-000000000000", "index": "0"}


@pytest.fixture
def feed(engine: sa.Engine) -> Iterator[EventFeed]:
    """A feed that takes nobody."""
    wake = Wake.pipe()
    feed = EventFeed(EventLog(engine), wake, poll_interval=60, most_streams=0)
    yield feed
    feed.close()
    wake.close()


def test_every_route_is_in_the_table(services: Services, stranger: TestClient) -> None:
    document = stranger.get("/openapi.json").json()
    described = {(method, path) for path, operations in document["paths"].items() for method in operations}
    assert described == set(EXPECTED)
    served = {context.path for context in iter_route_contexts(create_app(services).routes)}
    assert served == {path for _, path in EXPECTED} | OPEN_PAGES


def test_each_caller_may_do_what_the_table_says(stranger: TestClient, tokens: dict[str, str]) -> None:
    """Each operation that the OpenAPI document has, for each kind of caller."""
    document = stranger.get("/openapi.json").json()
    operations = [(method, path) for path, operations in document["paths"].items() for method in operations]
    seen = {}
    for method, path in operations:
        answers = []
        for caller in CALLERS:
            headers = {"Authorization": f"Bearer {tokens[caller]}"} if caller in tokens else {}
            answers.append(stranger.request(method, path.format(**PATHS), headers=headers).status_code)
        seen[method, path] = tuple(answers)
    assert seen == EXPECTED


@pytest.mark.parametrize("caller", ["nobody", "garbage", "expired", "plain", "admin"])
def test_what_is_refused_changes_nothing(
    stranger: TestClient, services: Services, tokens: dict[str, str], caller: str
) -> None:
    job_id = services.queue.submit(NewJob("face_detection", "1")).job_id
    headers = {"Authorization": f"Bearer {tokens[caller]}"} if caller in tokens else {}
    refused = {
        stranger.post("/job/face_detection", json={"media_store_id": "2"}, headers=headers).status_code,
        stranger.post("/jobs", json={"jobs": []}, headers=headers).status_code,
        stranger.delete(f"/job/{job_id}", headers=headers).status_code,
        stranger.post("/media", files={"file": b"photo"}, headers=headers).status_code,
        stranger.post("/search/faces", json={"point_id": 1}, headers=headers).status_code,
    }
    assert refused == {403 if caller in {"plain", "admin"} else 401}
    assert sum(services.records.statistics().jobs_by_status.values()) == 1
    assert services.records.get(job_id) is not None
    assert isinstance(services.inbox, FolderInbox)
    assert list(services.inbox._folder.iterdir()) == []


def test_the_document_marks_exactly_the_guarded_routes(stranger: TestClient) -> None:
    document = stranger.get("/openapi.json").json()
    for (method, path), statuses in EXPECTED.items():
        operation = document["paths"][path][method]
        assert ("security" in operation) == (statuses[0] == 401), path
        assert ("401" in operation["responses"]) == (statuses[0] == 401), path


@pytest.mark.parametrize("path", sorted(OPEN_PAGES))
def test_the_documentation_is_open(stranger: TestClient, path: str) -> None:
    assert stranger.get(path).status_code == 200


def test_with_open_access_everybody_may_do_all(services: Services, serve: Serve) -> None:
    client = serve(replace(services, access=OpenAccess()))
    assert client.post("/job/face_detection", json={"media_store_id": "1"}).status_code == 201
    assert client.get("/admin/stats").status_code == 200
    garbage = {"Authorization": "Bearer nonsense"}
    assert client.get("/admin/stats", headers=garbage).status_code == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer {token}", 200),
        ("bearer {token}", 200),
        ("BEARER  {token} ", 200),
        ("Basic {token}", 401),
        ("{token}", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Bearer {token} {token}", 401),
        ("Bearer {token}x", 401),
        ("Bearer \xe9", 401),
    ],
)
def test_the_authorization_header_is_read_as_the_rfc_says(
    stranger: TestClient, tokens: dict[str, str], header: str, status: int
) -> None:
    value = header.format(token=tokens["admin"]).encode("latin-1")
    assert stranger.get("/admin/stats", headers={b"Authorization": value}).status_code == status


def test_a_stranger_is_not_told_why_but_the_log_is(stranger: TestClient) -> None:
    with structlog.testing.capture_logs() as lines:
        answers = [
            stranger.get("/admin/stats", headers={"Authorization": f"Bearer {token}"}).json()["detail"]
            for token in ("nonsense", "a.b.c", "x" * 9000)
        ]
    assert len(set(answers)) == 1
    reasons = [line["reason"] for line in lines if line["action"] == "token_refused"]
    assert len(reasons) == 3
    assert not any("nonsense" in str(line) for line in lines)
