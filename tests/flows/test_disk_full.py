"""Each disk of the service full to the last byte: nothing is lost or charged, and work goes on when there is room."""

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from media_inference.queue.engine import sqlite_module
from tests.stands.running_service import RunningService, running_service, until
from tests.stands.small_disk import small_disk

pytestmark = pytest.mark.flow

LEAST = 16 * 1024 * 1024
SMALL = {"MIN_FREE_BYTES": str(LEAST), "LEASE_SECONDS": "60"}

DISKS = {
    "database": ("small", "storage", {"DATABASE_URL": "sqlite:///{folder}/small/inference.db"}),
    "files": ("small", "storage", {"STORAGE_DIR": "{folder}/small"}),
    "vectors": ("data/qdrant", "vector_store", {}),
}


@pytest.mark.parametrize("disk", DISKS)
def test_a_full_disk_refuses_new_jobs_and_lets_the_others_wait_uncharged(
    tmp_path: Path, shared: Path, disk: str
) -> None:
    place, check, settings = DISKS[disk]
    placed = {name: value.format(folder=tmp_path) for name, value in settings.items()}
    with small_disk(tmp_path / place, 64) as small, running_service(tmp_path, SMALL | placed) as service:
        photo = service.add_media(shared / "photos" / "obama_1.jpg")
        service.run("image_embedding", photo)
        until(lambda: stop_workers(service, tmp_path / ("small" if disk == "database" else "data")), bool)
        waiting = [service.submit("face_embedding", photo) for _ in range(3)]
        small.fill()
        assert small.free() == 0
        signal_workers(service, signal.SIGCONT)
        assert_refused(service, photo)
        until(lambda: broken(service), lambda names: check in names)
        assert {service.job(job_id)["status"] for job_id in waiting} <= {"pending", "processing"}
        small.make_room()
        for job_id in waiting:
            job = service.finished(job_id)
            assert (job["status"], job["attempts"], job.get("error")) == ("completed", 1, None)
        service.wait_until_workers_are_ready()
        service.run("face_detection", photo)
        assert len(service.search("image_embeddings", point_id=1)) == 0
        assert {hit["id"] for hit in service.search("faces", vector=[1.0] + [0.0] * 511)} == {1000}


def stop_workers(service: RunningService, folder: Path) -> bool:
    """False when one had the write lock just then, which nobody can take from it: they go on."""
    signal_workers(service, signal.SIGSTOP)
    module = sqlite_module()
    with closing(module.connect(folder / "inference.db", timeout=1.0, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except module.OperationalError:
            signal_workers(service, signal.SIGCONT)
            return False
        database.execute("ROLLBACK")
    return True


def signal_workers(service: RunningService, number: signal.Signals) -> None:
    for pid in service.worker_pids():
        os.kill(pid, number)


def assert_refused(service: RunningService, photo: str) -> None:
    answer = service.request("POST", "/job/face_detection", json={"media_store_id": photo})
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_full"), answer.text
    assert int(answer.headers["Retry-After"]) > 0
    upload = service.request("POST", "/media", files={"file": b"a photo"})
    assert (upload.status_code, upload.json()["code"]) == (503, "storage_full"), upload.text


def broken(service: RunningService) -> set[str]:
    checks = service.request("GET", "/health").json()["checks"]
    return {name for name, check in checks.items() if check["status"] != "ok"}
