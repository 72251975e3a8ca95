"""Jobs over HTTP."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from media_inference.api.services import Services
from media_inference.artifacts.local_store import LocalStore
from media_inference.errors import ErrorCode, PermanentError
from media_inference.jobs.outcome import Artifact, EmbeddingSet, Findings

Complete = Callable[..., None]
Serve = Callable[[Services], TestClient]


def _create(client: TestClient, task_type: str = "face_detection") -> str:
    answer = client.post(f"/job/{task_type}", json={"media_store_id": "photo-456"})
    assert answer.status_code == 201
    return str(answer.json()["job_id"])


def test_a_new_job_is_answered_with_the_keys_of_the_readme(supporter: TestClient) -> None:
    answer = supporter.post("/job/image_embedding", json={"media_store_id": "image-789", "priority": 7})
    job = answer.json()
    assert answer.status_code == 201
    assert list(job) == ["job_id", "task_type", "media_store_id", "status", "priority", "created_at"]
    assert job["task_type"] == "image_embedding"
    assert job["media_store_id"] == "image-789"
    assert (job["status"], job["priority"]) == ("pending", 7)
    assert answer.headers["Location"] == f"/job/{job['job_id']}"


def test_a_new_job_is_on_disk_before_workers_are_woken_and_the_answer_leaves(
    services: Services, serve: Serve, tokens: dict[str, str]
) -> None:
    waiting: list[int] = []
    woken = replace(services, on_submit=lambda: waiting.append(services.records.statistics().jobs_by_status["pending"]))
    client = serve(woken)
    client.headers["Authorization"] = f"Bearer {tokens['permission']}"
    job_id = _create(client)
    assert waiting == [1]
    assert services.records.get(job_id) is not None


def test_the_default_priority_is_5(supporter: TestClient) -> None:
    answer = supporter.post("/job/face_detection", json={"media_store_id": "1"})
    assert answer.json()["priority"] == 5


def test_an_integer_media_store_id_becomes_its_decimal_string(supporter: TestClient) -> None:
    answer = supporter.post("/job/face_detection", json={"media_store_id": 123})
    assert answer.json()["media_store_id"] == "123"


def test_a_whole_number_may_be_written_with_a_point(supporter: TestClient) -> None:
    answer = supporter.post("/job/face_detection", json={"media_store_id": 7.0, "priority": 8.0})
    assert (answer.status_code, answer.json()["media_store_id"], answer.json()["priority"]) == (201, "7", 8)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "media_store_id"),
        ({"media_store_id": True}, "media_store_id"),
        ({"media_store_id": -1}, "media_store_id"),
        ({"media_store_id": 1.5}, "media_store_id"),
        ({"media_store_id": None}, "media_store_id"),
        ({"media_store_id": ""}, "media_store_id"),
        ({"media_store_id": "../etc/passwd"}, "media_store_id"),
        ({"media_store_id": "a\n"}, "media_store_id"),
        ({"media_store_id": "a" * 129}, "media_store_id"),
        ({"media_store_id": 10**200}, "media_store_id"),
        ({"media_store_id": "1", "priority": 11}, "priority"),
        ({"media_store_id": "1", "priority": -1}, "priority"),
        ({"media_store_id": "1", "priority": "5"}, "priority"),
        ({"media_store_id": "1", "priority": 5.5}, "priority"),
        ({"media_store_id": "1", "priority": True}, "priority"),
        ({"media_store_id": "1", "priority": None}, "priority"),
        ({"media_store_id": "1", "prority": 5}, "prority"),
    ],
)
def test_a_wrong_body_is_422_and_names_the_field(
    supporter: TestClient, services: Services, wakes: list[str], body: dict[str, object], field: str
) -> None:
    answer = supporter.post("/job/face_detection", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert f"`{field}`" in answer.json()["detail"]
    assert services.records.statistics().jobs_by_status["pending"] == 0
    assert wakes == []


def test_an_unknown_task_type_is_422_and_names_the_known_ones(supporter: TestClient) -> None:
    answer = supporter.post("/job/face_swap", json={"media_store_id": "1"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_task_type")
    assert "image_embedding, face_detection, face_embedding" in answer.json()["detail"]
    assert "face_swap" not in answer.text


def test_a_pending_job_leaves_out_what_it_does_not_have(supporter: TestClient, stranger: TestClient) -> None:
    job = stranger.get(f"/job/{_create(supporter)}").json()
    assert list(job) == ["job_id", "task_type", "media_store_id", "status", "priority", "created_at", "attempts"]
    assert job["attempts"] == 0


def test_a_completed_job_shows_its_result_to_anybody(
    supporter: TestClient, stranger: TestClient, complete: Complete
) -> None:
    job_id = _create(supporter)
    result = {"faces": [{"face_index": 0, "note": None}], "face_count": 1}
    complete(result)
    job = stranger.get(f"/job/{job_id}").json()
    assert set(job) == {
        *("job_id", "task_type", "media_store_id", "status", "priority", "attempts", "result"),
        *("created_at", "started_at", "completed_at"),
    }
    assert (job["status"], job["result"]) == ("completed", result)
    assert job["created_at"] <= job["started_at"] <= job["completed_at"]


def test_a_failed_job_shows_why(supporter: TestClient, stranger: TestClient, services: Services) -> None:
    job_id = _create(supporter)
    claim = services.queue.claim("worker-1")
    assert claim is not None
    services.queue.fail(claim, PermanentError(ErrorCode.IMAGE_CORRUPT, "the picture ends early"))
    job = stranger.get(f"/job/{job_id}").json()
    assert job["status"] == "failed"
    assert "result" not in job
    assert job["error"] == {"code": "image_corrupt", "message": "the picture ends early", "retryable": False}


@pytest.mark.parametrize("job_id", ["00000000-0000-4000-8000-000000000000", "nonsense", "..", "%00", "a" * 5000])
def test_a_job_that_is_not_there_is_404(supporter: TestClient, job_id: str) -> None:
    for answer in (supporter.get(f"/job/{job_id}"), supporter.delete(f"/job/{job_id}")):
        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_deleted_job_is_gone_with_its_files(
    supporter: TestClient, services: Services, complete: Complete, tmp_path: Path
) -> None:
    job_id = _create(supporter)
    complete({"face_count": 1}, {"faces/0.jpg": b"jpeg"})
    assert (tmp_path / "jobs" / job_id / "faces" / "0.jpg").is_file()
    answer = supporter.delete(f"/job/{job_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert not (tmp_path / "jobs" / job_id).exists()
    assert supporter.get(f"/job/{job_id}").status_code == 404
    assert supporter.delete(f"/job/{job_id}").status_code == 404
    assert services.records.get(job_id) is None


def test_a_running_job_can_be_deleted_and_its_outcome_is_dropped(supporter: TestClient, services: Services) -> None:
    job_id = _create(supporter)
    claim = services.queue.claim("worker-1")
    assert claim is not None
    assert supporter.delete(f"/job/{job_id}").status_code == 204
    assert not services.queue.fail(claim, PermanentError(ErrorCode.INTERNAL, "too late"))


def test_anybody_gets_the_crops_of_a_completed_job(
    supporter: TestClient, stranger: TestClient, complete: Complete
) -> None:
    job_id = _create(supporter)
    complete({"face_count": 1}, {"faces/0.jpg": b"\xff\xd8 a face"})
    answer = stranger.get(f"/job/{job_id}/faces/0.jpg")
    assert (answer.status_code, answer.content) == (200, b"\xff\xd8 a face")
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert "private" in answer.headers["Cache-Control"]


def test_crops_are_not_shown_before_the_vectors_are_searchable(
    supporter: TestClient, stranger: TestClient, services: Services
) -> None:
    job_id = _create(supporter, "face_embedding")
    claim = services.queue.claim("worker-1")
    assert claim is not None
    artifacts = (Artifact("faces/0.jpg", b"jpeg"),)
    findings = Findings({"face_count": 1}, EmbeddingSet("faces", "gabor-face-512", ()), artifacts)
    staged = services.artifacts.stage(job_id, claim.lease_token, artifacts)
    assert services.queue.settle(claim, findings, staged.promote)
    assert services.artifacts.path(job_id, "faces/0.jpg") is not None
    answer = stranger.get(f"/job/{job_id}/faces/0.jpg")
    assert (answer.status_code, answer.json()["code"]) == (404, "crop_not_found")


class _Vanishing(LocalStore):
    """Files that are removed between being found and being read."""

    def path(self, job_id: str, name: str) -> Path | None:
        found = super().path(job_id, name)
        self.remove(job_id)
        return found


def test_a_crop_that_is_being_removed_is_404(
    supporter: TestClient, services: Services, serve: Serve, complete: Complete, tmp_path: Path
) -> None:
    job_id = _create(supporter)
    complete({"face_count": 1}, {"faces/0.jpg": b"jpeg"})
    client = serve(replace(services, artifacts=_Vanishing(tmp_path / "jobs")))
    answer = client.get(f"/job/{job_id}/faces/0.jpg")
    assert (answer.status_code, answer.json()["code"]) == (404, "crop_not_found")


@pytest.mark.parametrize("index", ["1", "999", "-1", "x", "0.5", "1" * 5000, "..%2F0"])
def test_a_crop_that_is_not_there_is_404(
    supporter: TestClient, stranger: TestClient, complete: Complete, index: str
) -> None:
    job_id = _create(supporter)
    complete({"face_count": 1}, {"faces/0.jpg": b"jpeg"})
    answer = stranger.get(f"/job/{job_id}/faces/{index}.jpg")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_crop_of_a_job_that_is_not_there_is_404(stranger: TestClient) -> None:
    assert stranger.get(f"/job/{uuid4()}/faces/0.jpg").json()["code"] == "job_not_found"
