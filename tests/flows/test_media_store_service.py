"""Behind a media_store service: photos fetched, results reported, an outage sat out. The other side is the reference
server, as a process of its own."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stands.reference_store import ReferenceStore
from tests.stands.running_service import RunningService, running_service, until

pytestmark = pytest.mark.flow

TASKS = ("image_embedding", "face_detection", "face_embedding")
OUTAGE_SECONDS = 20.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReferenceStore]:
    with ReferenceStore(tmp_path / "store") as store:
        yield store


def settings(store: ReferenceStore) -> dict[str, str]:
    """Those of a service in front of this store."""
    return {"MEDIA_STORE_URL": store.url, "MEDIA_STORE_TOKEN": store.token or ""}


def put_photos(store: ReferenceStore, photo: Path, count: int) -> list[str]:
    """The same photo under many ids."""
    ids = [f"photo-{number}" for number in range(count)]
    for media_id in ids:
        store.put(media_id, photo.read_bytes())
    return ids


def sync_counts(service: RunningService) -> dict[str, int]:
    stats: dict[str, Any] = service.request("GET", "/admin/stats").json()
    return dict(stats["sync"])


def wait_until_synced(service: RunningService, count: int, patience: float) -> None:
    all_synced = {"pending": 0, "synced": count, "failed": 0}
    until(lambda: sync_counts(service), lambda counts: counts == all_synced, patience)


def test_300_jobs_fetch_every_photo_once_and_report_every_result_once(
    tmp_path: Path, store: ReferenceStore, shared: Path
) -> None:
    ids = put_photos(store, shared / "formats" / "face.webp", 100)
    with running_service(tmp_path, settings(store), workers=2) as service:
        jobs = {service.submit(task, media_id): (task, media_id) for media_id in ids for task in TASKS}
        for job_id in jobs:
            assert service.finished(job_id)["status"] == "completed"
        wait_until_synced(service, 300, patience=60)
        assert service.job(next(iter(jobs)))["sync"] == {"status": "synced", "attempts": 1}
    counted = store.stats()
    assert counted["fetched"] == dict.fromkeys(ids, 1)
    assert counted["uploads"] == dict.fromkeys(jobs, 1)
    assert counted["upload_requests"] == dict.fromkeys(jobs, 1)
    for media_id in ids:
        crops = {result["task_type"]: len(result["crops"]) for result in store.results(media_id)}
        assert crops == {"image_embedding": 0, "face_detection": 1, "face_embedding": 1}


def test_a_store_that_is_gone_for_20_s_fails_no_job_and_charges_no_attempt(
    tmp_path: Path, store: ReferenceStore, shared: Path
) -> None:
    ids = put_photos(store, shared / "formats" / "face.webp", 30)
    before, after = ids[:20], ids[20:]
    with running_service(tmp_path, settings(store), workers=2) as service:
        jobs = [service.submit(task, media_id) for media_id in before for task in TASKS]
        until(lambda: sync_counts(service)["synced"], lambda synced: synced >= 20)
        store.kill()
        gone = time.monotonic()
        jobs += [service.submit(task, media_id) for media_id in after for task in TASKS]
        seen = until(lambda: service.request("GET", "/health").json(), lambda health: health["status"] == "unhealthy")
        broken = seen["checks"]["media_store"]
        assert broken["status"] == "broken"
        assert abs(broken["since"] - time.time() * 1000) < 15_000
        until(time.monotonic, lambda now: now - gone >= OUTAGE_SECONDS, patience=60)
        waiting = [job for job in map(service.job, jobs) if job["status"] == "pending"]
        assert len(waiting) >= len(after) * len(TASKS)
        assert {job["attempts"] for job in waiting} == {0}
        store.start()
        wait_until_synced(service, len(jobs), patience=30)
        finished = [service.job(job_id) for job_id in jobs]
        assert {(job["status"], job["attempts"]) for job in finished} == {("completed", 1)}
        until(lambda: service.request("GET", "/health").status_code, lambda status: status == 200)
        complaints = [line for line in map(_event, service.log.read_text().splitlines()) if line is not None]
    assert {job["sync"]["status"] for job in finished} == {"synced"}
    assert store.stats()["uploads"] == dict.fromkeys(jobs, 1)
    assert 2 <= len(complaints) <= 20, complaints
    assert "dependency.back" in complaints


def _event(line: str) -> str | None:
    """What a log line tells of the outage; None for a line about anything else."""
    entry = json.loads(line) if line.startswith("{") else {}
    outage = entry.get("level") in {"warning", "error"} or "dependency" in entry
    return str(entry["event"]) if outage else None


def test_a_photo_that_is_not_there_fails_and_reports_nothing(tmp_path: Path, store: ReferenceStore) -> None:
    with running_service(tmp_path, settings(store)) as service:
        job = service.finished(service.submit("image_embedding", "nobody-has-it"))
        assert (job["status"], job["error"]["code"]) == ("failed", "media_not_found")
        assert "sync" not in job
        assert sync_counts(service) == {"pending": 0, "synced": 0, "failed": 0}


def test_a_wrong_token_fails_jobs_and_says_so_loudly(tmp_path: Path, store: ReferenceStore, shared: Path) -> None:
    put_photos(store, shared / "formats" / "face.webp", 1)
    wrong = settings(store) | {"MEDIA_STORE_TOKEN": "mistyped"}
    with running_service(tmp_path, wrong) as service:
        job = service.finished(service.submit("image_embedding", "photo-0"))
        assert (job["status"], job["error"]["code"]) == ("failed", "media_forbidden")
        assert "MEDIA_STORE_TOKEN" in service.log.read_text()
        assert "mistyped" not in service.log.read_text()


def test_a_store_that_hangs_does_not_hold_up_the_end(tmp_path: Path, store: ReferenceStore, shared: Path) -> None:
    """It accepts connections and says nothing any more."""
    put_photos(store, shared / "formats" / "face.webp", 1)
    with running_service(tmp_path, settings(store)) as service:
        service.run("face_detection", "photo-0")
        wait_until_synced(service, 1, patience=30)
        store.suspend()
        job_id = service.submit("face_detection", "photo-0")
        until(lambda: service.job(job_id), lambda job: job["status"] == "processing")
        begun = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - begun < 40
        store.resume()
    with running_service(tmp_path, settings(store)) as service:
        assert service.finished(job_id)["status"] == "completed"
        wait_until_synced(service, 2, patience=30)
