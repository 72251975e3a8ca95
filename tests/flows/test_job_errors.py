"""Every error that a photo or a media store can cause ends in its documented code, and nothing else is harmed."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.stands.running_service import RunningService, running_service, until

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with running_service(tmp_path_factory.mktemp("errors")) as service:
        yield service


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("formats/truncated.jpg", "image_corrupt"),
        ("formats/bomb.gif", "image_too_large"),
        ("photos/README.md", "unsupported_format"),
    ],
)
def test_a_bad_photo_fails_at_once_with_its_code(service: RunningService, shared: Path, name: str, code: str) -> None:
    media_id = service.add_media(shared / name)
    for task in ("image_embedding", "face_detection", "face_embedding"):
        job = service.finished(service.submit(task, media_id))
        assert (job["status"], job["error"]["code"], job["attempts"]) == ("failed", code, 1)
        assert job["error"]["retryable"] is False
        assert str(service.data) not in job["error"]["message"]


def test_a_media_id_that_does_not_exist_is_media_not_found(service: RunningService) -> None:
    job = service.finished(service.submit("image_embedding", "no-such-picture"))
    assert (job["status"], job["error"]["code"], job["attempts"]) == ("failed", "media_not_found", 1)


def test_a_folder_of_the_user_is_read_by_file_name(tmp_path: Path, shared: Path) -> None:
    settings = {"MEDIA_STORE_URL": (shared / "photos").as_uri()}
    with running_service(tmp_path, settings) as service:
        assert service.run("face_detection", "astronaut.png")["face_count"] == 1
        refused = service.request("POST", "/media", files={"file": b"x"})
        assert (refused.status_code, refused.headers["content-type"]) == (409, "application/problem+json")


def test_the_stub_store_gives_the_same_sample_for_the_same_id(tmp_path: Path) -> None:
    with running_service(tmp_path, {"MEDIA_STORE_STUB": "true"}) as service:
        one, same, other = (
            service.finished(service.submit("image_embedding", media_id)) for media_id in ("7", "7", "8")
        )
        vectors = [service.vector(job["job_id"]) for job in (one, same, other)]
    assert vectors[0] == vectors[1] != vectors[2]


@pytest.mark.parametrize(
    ("status", "code"), [(404, "media_not_found"), (410, "media_not_found"), (403, "media_forbidden")]
)
def test_what_the_media_store_answers_decides_the_code(tmp_path: Path, status: int, code: str) -> None:
    with _media_server(status) as url, running_service(tmp_path, {"MEDIA_STORE_URL": url}) as service:
        job = service.finished(service.submit("image_embedding", "1"))
    assert (job["status"], job["error"]["code"], job["attempts"]) == ("failed", code, 1)


def test_a_media_store_that_fails_is_retried_and_then_the_job_fails(tmp_path: Path) -> None:
    with (
        _media_server(500) as url,
        running_service(tmp_path, {"MEDIA_STORE_URL": url, "WORKER_MAX_RETRIES": "1"}) as service,
    ):
        job_id = service.submit("image_embedding", "1")
        waiting = until(lambda: service.job(job_id), lambda job: "error" in job)
        assert waiting["error"] == waiting["error"] | {"code": "media_unavailable", "retryable": True}
        job = service.finished(job_id)
    assert (job["status"], job["error"]["code"], job["attempts"]) == ("failed", "media_unavailable", 2)


def test_jobs_wait_unharmed_while_the_vector_store_is_away(tmp_path: Path, shared: Path) -> None:
    """Nothing listens at the address: the result is settled, and completed is not claimed."""
    settings = {"QDRANT_URL": "http://127.0.0.1:9"}
    with running_service(tmp_path, settings, wait=False) as service:
        media_id = service.add_media(shared / "photos" / "cat.png")
        job_id = service.submit("image_embedding", media_id)
        until(lambda: service.request("GET", "/admin/stats").json()["unpublished"], lambda count: count == 1)
        assert service.job(job_id)["status"] == "processing"
        search = service.request("POST", "/search/image_embeddings", json={"point_id": 1})
        assert search.status_code == 503
        assert search.json()["code"] == "vector_store_unavailable"
        assert "retry-after" in search.headers
        health = until(lambda: service.request("GET", "/health"), _knows_of_an_outage)
        assert health.status_code == 503
        assert set(health.json()["checks"]["vector_store"]) == {"status", "detail", "since"}
        later = service.submit("image_embedding", media_id)
        assert service.run("face_detection", media_id)["face_count"] == 0
        assert (service.job(later)["status"], service.job(later)["attempts"]) == ("pending", 0)


def _knows_of_an_outage(health: httpx2.Response) -> bool:
    """Whether one of the vector store is on record: the publisher has found out, and workers can see it."""
    return "since" in health.json()["checks"]["vector_store"]


@contextmanager
def _media_server(status: int) -> Iterator[str]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
