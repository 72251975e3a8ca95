"""What clients see of the reports to the media store."""

from dataclasses import replace

import sqlalchemy as sa
from fastapi.testclient import TestClient

from media_inference.api.services import Services
from media_inference.jobs.job import NewJob
from media_inference.jobs.outcome import Findings
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.sync import DueUpload, SyncRecords
from tests.unit.api.conftest import Serve


def settle(engine: sa.Engine) -> str:
    """A completed job whose result is wanted by the media store."""
    queue = JobQueue(engine, uploads=True)
    job_id = queue.submit(NewJob("face_detection", "1")).job_id
    claim = queue.claim("w")
    assert claim is not None
    assert queue.settle(claim, Findings({"faces": [], "face_count": 0}), lambda: None)
    return job_id


def due(sync: SyncRecords, job_id: str) -> DueUpload:
    (upload,) = [upload for upload in sync.due(10) if upload.job_id == job_id]
    return upload


def test_a_job_shows_how_its_report_stands(stranger: TestClient, services: Services, engine: sa.Engine) -> None:
    assert services.sync is not None
    job_id = settle(engine)
    waiting = stranger.get(f"/job/{job_id}").json()["sync"]
    assert set(waiting) == {"status", "attempts", "next_attempt_at"}
    upload = due(services.sync, job_id)
    services.sync.retry(upload, "the media store answered 500", delay=60.0)
    failing = stranger.get(f"/job/{job_id}").json()["sync"]
    assert (failing["status"], failing["attempts"]) == ("pending", 1)
    assert failing["last_error"] == "the media store answered 500"
    services.sync.synced(upload)
    assert stranger.get(f"/job/{job_id}").json()["sync"] == {"status": "synced", "attempts": 2}


def test_the_statistics_count_reports_and_failed_ones_can_be_started_again(
    admin: TestClient, services: Services, engine: sa.Engine
) -> None:
    assert services.sync is not None
    done, failed = settle(engine), settle(engine)
    services.sync.synced(due(services.sync, done))
    services.sync.fail(due(services.sync, failed), "the media store refused it")
    assert admin.get("/admin/stats").json()["sync"] == {"pending": 0, "synced": 1, "failed": 1}
    assert admin.post("/admin/sync/retry").json() == {"restarted": 1}
    assert admin.post("/admin/sync/retry").json() == {"restarted": 0}
    assert admin.get("/admin/stats").json()["sync"] == {"pending": 1, "synced": 1, "failed": 0}


def test_a_service_that_reports_to_nobody_says_nothing_of_reports(
    services: Services, serve: Serve, engine: sa.Engine, tokens: dict[str, str]
) -> None:
    client = serve(replace(services, sync=None))
    assert "sync" not in client.get(f"/job/{settle(engine)}").json()
    headers = {"Authorization": f"Bearer {tokens['admin']}"}
    assert "sync" not in client.get("/admin/stats", headers=headers).json()
    refused = client.post("/admin/sync/retry", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "upload_not_supported")


def test_a_restart_wakes_the_relay_by_its_clock(services: Services, engine: sa.Engine) -> None:
    """A failed report is due at once when it is started again."""
    sync = SyncRecords(engine)
    job_id = settle(engine)
    sync.fail(due(sync, job_id), "x")
    assert sync.due(10) == []
    sync.restart_failed()
    assert [upload.job_id for upload in sync.due(10)] == [job_id]
