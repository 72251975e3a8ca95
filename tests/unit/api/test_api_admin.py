"""Statistics and cleanup over HTTP."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from media_inference.api.services import Services
from media_inference.errors import ErrorCode, PermanentError
from media_inference.jobs.job import NewJob
from media_inference.queue.worker_records import WorkerRecord
from media_inference.vectors.store import FACES, Point

Complete = Callable[..., None]


def _submit(services: Services, priority: int = 5) -> str:
    return services.queue.submit(NewJob("face_detection", "1", priority)).job_id


def _fail(services: Services) -> None:
    claim = services.queue.claim("worker-1")
    assert claim is not None
    services.queue.fail(claim, PermanentError(ErrorCode.IMAGE_CORRUPT, "cut short"))


def test_the_statistics_count_everything(admin: TestClient, services: Services, complete: Complete) -> None:
    _submit(services)
    complete({"face_count": 0}, {"faces/0.jpg": b"12345"})
    for priority in (5, 5, 9):
        _submit(services, priority)
    for worker_id in ("one", "two"):
        services.workers.arrive(WorkerRecord(worker_id, "cpu", {}))
    services.vectors.upsert(FACES, [Point(1000, np.eye(1, 512, dtype=np.float32)[0], {})])
    numbers = admin.get("/admin/stats").json()
    assert numbers.pop("oldest_waiting_ms") >= 0
    assert numbers == {
        "jobs_by_status": {"pending": 3, "processing": 0, "completed": 1, "failed": 0},
        "jobs_by_task_type": {"face_detection": 4},
        "queue_depth": 3,
        "queue_depth_by_priority": {"5": 2, "9": 1},
        "unpublished": 0,
        "vectors": {"image_embeddings": 0, "faces": 1},
        "bytes_stored": 5,
        "workers_alive": 2,
        "sync": {"pending": 0, "synced": 0, "failed": 0},
    }


def test_the_statistics_of_an_empty_service(admin: TestClient) -> None:
    numbers = admin.get("/admin/stats").json()
    assert numbers["oldest_waiting_ms"] is None
    assert numbers["queue_depth_by_priority"] == {}


def test_a_vector_store_that_is_away_leaves_the_other_numbers(admin: TestClient, services: Services) -> None:
    services.vectors.close()
    numbers = admin.get("/admin/stats").json()
    assert numbers["vectors"] == {"image_embeddings": None, "faces": None}
    assert numbers["workers_alive"] == 0


def test_a_cleanup_removes_finished_jobs_with_their_files(
    admin: TestClient, services: Services, complete: Complete, tmp_path: Path
) -> None:
    job_id = _submit(services)
    complete({"face_count": 1}, {"faces/0.jpg": b"12345", "faces/0.bin": b"123"})
    waiting = _submit(services)
    answer = admin.delete("/admin/cleanup?older_than_days=0")
    assert (answer.status_code, answer.json()) == (200, {"deleted_jobs": 1, "deleted_files": 2, "freed_bytes": 8})
    assert not (tmp_path / "jobs" / job_id).exists()
    assert services.records.existing([job_id, waiting]) == {waiting}


def test_a_cleanup_keeps_young_jobs_unless_told_otherwise(
    admin: TestClient, services: Services, complete: Complete
) -> None:
    job_id = _submit(services)
    complete({"face_count": 0})
    assert admin.delete("/admin/cleanup").json()["deleted_jobs"] == 0
    assert services.records.get(job_id) is not None


def test_a_cleanup_can_be_tried_first(admin: TestClient, services: Services, complete: Complete) -> None:
    job_id = _submit(services)
    complete({"face_count": 1}, {"faces/0.jpg": b"12345"})
    answer = admin.delete("/admin/cleanup?older_than_days=0&dry_run=true")
    assert answer.json() == {"deleted_jobs": 1, "deleted_files": 1, "freed_bytes": 5}
    assert services.artifacts.path(job_id, "faces/0.jpg") is not None
    assert services.records.get(job_id) is not None


def test_a_cleanup_takes_only_the_statuses_asked_for(admin: TestClient, services: Services, complete: Complete) -> None:
    completed = _submit(services)
    complete({"face_count": 0})
    failed = _submit(services)
    _fail(services)
    assert admin.delete("/admin/cleanup?older_than_days=0&status=failed").json()["deleted_jobs"] == 1
    assert services.records.existing([completed, failed]) == {completed}


@pytest.mark.parametrize(
    "query",
    [
        *("older_than_days=-1", "older_than_days=x", "older_than_days=1000000000000", "older_than_days=1.5"),
        *("status=pending", "status=completed,processing", "status=", "status=completed,"),
        *("dry_run=perhaps", "dryrun=true"),
    ],
)
def test_a_wrong_cleanup_is_422_and_removes_nothing(
    admin: TestClient, services: Services, complete: Complete, query: str
) -> None:
    job_id = _submit(services)
    complete({"face_count": 0})
    answer = admin.delete(f"/admin/cleanup?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert f"`{query.partition('=')[0]}`" in answer.json()["detail"]
    assert services.records.get(job_id) is not None
