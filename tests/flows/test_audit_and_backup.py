"""A service is audited, mended, backed up and brought back, as its operator would."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_edge import Point, UpdateOperation

from tests.stands.command import audit, media_inference
from tests.stands.qdrant_server import QdrantServer, qdrant_server
from tests.stands.running_service import RunningService, running_service, until

pytestmark = pytest.mark.flow

PHOTOS = ("obama_1.jpg", "cat.png", "rocket.jpg")


def work(service: RunningService, shared: Path) -> dict[str, str]:
    """All three tasks on some photos; returns the job of each task on the first one."""
    jobs: dict[str, str] = {}
    for name in PHOTOS:
        photo = service.add_media(shared / "photos" / name)
        for task in ("image_embedding", "face_detection", "face_embedding"):
            job_id = service.submit(task, photo)
            jobs.setdefault(task, job_id)
            assert service.finished(job_id)["status"] == "completed"
    return jobs


def answers(service: RunningService) -> list[list[dict[str, Any]]]:
    """What two searches find."""
    faces = service.search("faces", vector=[1.0] + [0.0] * 511, limit=100)
    return [service.search("image_embeddings", media_store_id="1", limit=10), faces]


def test_a_service_that_lost_vectors_and_files_is_mended(tmp_path: Path, shared: Path) -> None:
    with running_service(tmp_path) as service:
        jobs = work(service, shared)
        before = answers(service)
        refused = media_inference(tmp_path, "audit")
        assert refused.returncode == 3
        assert "stop it and audit again" in refused.stderr.splitlines()[-1]
        assert audit(tmp_path, "--without-vectors") == (0, {"found": 0, "left": 0, "kinds": {}, "findings": []})
    shutil.rmtree(tmp_path / "data" / "qdrant")
    files = tmp_path / "data" / "inference" / "jobs"
    (files / jobs["image_embedding"] / "embedding.bin").unlink()
    (files / jobs["face_detection"] / "faces" / "0.jpg").write_bytes(b"no picture")
    code, report = audit(tmp_path)
    assert (code, report["left"]) == (1, report["found"])
    assert {finding["kind"] for finding in report["findings"]} == {"point_missing", "file_missing", "crop_damaged"}
    assert audit(tmp_path, "--fix")[0] == 0
    assert audit(tmp_path) == (0, {"found": 0, "left": 0, "kinds": {}, "findings": []})
    with running_service(tmp_path) as service:
        assert service.finished(jobs["face_detection"])["status"] == "completed"
        assert service.request("GET", f"/job/{jobs['face_detection']}/faces/0.jpg").content.startswith(b"\xff\xd8")
        assert answers(service) == before
    assert audit(tmp_path)[0] == 0


def test_an_audit_beside_a_working_service_takes_nothing_in_motion_for_wrong_and_mends_the_rest(
    tmp_path: Path, shared: Path
) -> None:
    with qdrant_server() as qdrant:
        settings = {"QDRANT_URL": qdrant.url}
        with running_service(tmp_path, settings) as service:
            photo = service.add_media(shared / "photos" / "obama_1.jpg")
            service.run("face_embedding", photo)
            with busy(service, photo) as submitted:
                for _ in range(3):
                    assert audit(tmp_path, settings=settings)[0] == 0
            for job_id in submitted:
                service.finished(job_id)
            harm(qdrant)
            code, report = audit(tmp_path, "--fix", settings=settings)
            assert (code, set(report["kinds"])) == (0, {"point_zeroed", "point_orphaned"})
            until(lambda: service.search("faces", point_id=1000), lambda hits: hits == [])
            until(lambda: audit(tmp_path, settings=settings)[0], lambda code: code == 0)
            vector = list(np.fromfile(tmp_path / "data/inference/jobs" / submitted[-1] / "faces/0.bin", "<f4"))
            (found,) = service.search("faces", vector=[float(number) for number in vector])
            assert found["id"] == 1000
            assert found["score"] == pytest.approx(1, abs=1e-5)


def harm(qdrant: QdrantServer) -> None:
    """Zeroes the only face, and adds one that nobody has."""
    shard = qdrant.shard("faces")
    shard.update(UpdateOperation.upsert_points([Point(1000, [0.0] * 512, {}), Point(5, [1.0] + [0.0] * 511, {})]))


class busy:  # noqa: N801  # read as a phrase
    """Posts jobs for one photo as long as the block runs; gives their ids."""

    def __init__(self, service: RunningService, photo: str) -> None:
        self._service = service
        self._photo = photo
        self._stop = threading.Event()
        self._submitted: list[str] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> list[str]:
        self._thread.start()
        return self._submitted

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            job_id = self._service.submit("face_embedding", self._photo)
            self._submitted.append(job_id)
            self._service.finished(job_id)


def test_only_one_process_publishes_from_a_database(tmp_path: Path) -> None:
    with qdrant_server() as qdrant, running_service(tmp_path, {"QDRANT_URL": qdrant.url}):
        second = media_inference(tmp_path, "serve", "--port", "0", settings={"QDRANT_URL": qdrant.url})
        assert second.returncode == 3
        (line,) = [line for line in second.stderr.splitlines() if line.startswith("media-inference: ")]
        assert "another process that publishes from it" in line


def test_a_service_that_was_backed_up_while_it_worked_goes_on_from_there(tmp_path: Path, shared: Path) -> None:
    with running_service(tmp_path) as service:
        work(service, shared)
        before = answers(service)
        waiting = [service.submit("face_embedding", "1") for _ in range(5)]
        done = media_inference(tmp_path, "backup", "backup", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["jobs"] == 9 + len(waiting)
        again = media_inference(tmp_path, "backup", "backup")
        assert (again.returncode, len(again.stderr.splitlines())) == (3, 1)
    home = tmp_path / "elsewhere"
    home.mkdir()
    restored = media_inference(home, "restore", tmp_path / "backup", "--into", home / "data", "--json")
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["points"] >= 4
    again = media_inference(home, "restore", tmp_path / "backup")
    assert (again.returncode, "is there already" in again.stderr) == (3, True)
    with running_service(home) as service:
        for job_id in waiting:
            job = service.finished(job_id)
            assert (job["status"], job["attempts"]) == ("completed", 1)
        assert [[hit["id"] for hit in hits] for hits in answers(service)] == [[hit["id"] for hit in b] for b in before]
        assert service.token
    assert audit(home)[0] == 0


def test_a_server_that_has_points_is_not_restored_into(tmp_path: Path, shared: Path) -> None:
    with qdrant_server() as qdrant:
        settings = {"QDRANT_URL": qdrant.url}
        with running_service(tmp_path, settings) as service:
            service.run("image_embedding", service.add_media(shared / "photos" / "cat.png"))
            assert media_inference(tmp_path, "backup", "backup", settings=settings).returncode == 0
        home = tmp_path / "elsewhere"
        home.mkdir()
        refused = media_inference(home, "restore", tmp_path / "backup", settings=settings)
        assert refused.returncode == 3
        assert "has points already" in refused.stderr.splitlines()[-1]
        assert not (home / "data" / "inference.db").exists()
        qdrant.drop("image_embeddings")
        assert media_inference(home, "restore", tmp_path / "backup", settings=settings).returncode == 0
        assert audit(home, settings=settings)[0] == 0
