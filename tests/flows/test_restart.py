"""What was done stays done over a restart, and a start that can't succeed says why in one line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stands.running_service import running_service, service_environment, until

pytestmark = pytest.mark.flow


def test_embedded_vectors_survive_a_restart_and_give_the_same_answer(tmp_path: Path, shared: Path) -> None:
    photos = [shared / "photos" / name for name in ("cat.png", "coffee.png", "rocket.jpg")]
    with running_service(tmp_path) as service:
        for photo in photos:
            service.run("image_embedding", service.add_media(photo))
        before = service.search("image_embeddings", point_id=1)
        assert len(before) == 2
    with running_service(tmp_path) as service:
        assert service.search("image_embeddings", point_id=1) == before


def test_jobs_survive_a_service_that_is_killed(tmp_path: Path, shared: Path) -> None:
    with running_service(tmp_path) as service:
        # The line follows the entry in the database by which the service is healthy.
        until(lambda: service.log.read_text().count('"worker.ready"'), lambda ready: ready == 1)
        media_id = service.add_media(shared / "photos" / "astronaut.png")
        job_ids = [service.submit("face_embedding", media_id) for _ in range(10)]
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait()
    with running_service(tmp_path, {"LEASE_SECONDS": "3"}) as service:
        assert [service.finished(job_id)["status"] for job_id in job_ids] == ["completed"] * 10


def test_sigterm_finishes_or_releases_the_running_job_and_exits_0(tmp_path: Path, shared: Path) -> None:
    with running_service(tmp_path) as service:
        media_id = service.add_media(shared / "photos" / "astronaut.png")
        job_ids = [service.submit("face_detection", media_id) for _ in range(20)]
        until(lambda: service.job(job_ids[0]), lambda job: job["status"] != "pending")
        assert service.stop() == 0
    with running_service(tmp_path) as service:
        jobs = [service.finished(job_id) for job_id in job_ids]
    assert {(job["status"], job["attempts"]) for job in jobs} == {("completed", 1)}


def test_starting_with_another_model_than_the_stored_one_is_refused(tmp_path: Path, shared: Path) -> None:
    with running_service(tmp_path) as service:
        service.run("face_embedding", service.add_media(shared / "photos" / "astronaut.png"))
    models = tmp_path / "models" / "custom"
    models.mkdir(parents=True)
    _describe_other_face_model(models, shared)
    settings = {"FACE_MODEL": "other", "MODELS_DIR": str(models.parent)}
    status, line = _refusal(tmp_path, settings)
    assert status == 3
    assert "faces holds vectors of gabor-face-512" in line
    assert "FACE_MODEL" in line


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"IMAGE_MODEL": "clip-vit-b-32"}, ("clip-vit-b-32", "models pull", "gabor-512")),
        ({"IMAGE_MODEL": "no-such"}, ("no-such", "gabor-512")),
        ({"LOG_LEVEL": "loud"}, ("LOG_LEVEL", "INFO", "loud")),
        ({"WORKER_POLL_INTERVAL": "soon"}, ("WORKER_POLL_INTERVAL", "number", "soon")),
        ({"PUBLIC_KEY_PATH": "nowhere.pem"}, ("nowhere.pem",)),
        ({"DATABASE_URL": "mysql://h/d"}, ("DATABASE_URL", "sqlite:///path")),
        ({"MEDIA_STORE_URL": "ftp://h"}, ("MEDIA_STORE_URL", "http(s)://")),
    ],
)
def test_a_start_that_cannot_succeed_ends_with_3_and_one_line(
    tmp_path: Path, settings: dict[str, str], words: tuple[str, ...]
) -> None:
    status, line = _refusal(tmp_path, {"MODELS_DIR": str(tmp_path / "models")} | settings)
    assert status == 3
    for word in words:
        assert word in line


def test_a_second_service_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with running_service(tmp_path):
        status, line = _refusal(tmp_path, {})
    assert status == 3
    assert "another process" in line


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        port = service.url.rsplit(":", 1)[1]
        other = tmp_path / "other"
        other.mkdir()
        status, line = _refusal(other, {}, "--port", port)
    assert status == 3
    assert f"port {port}" in line


def _refusal(folder: Path, settings: dict[str, str], *arguments: str) -> tuple[int, str]:
    """The exit code and the one line of a start that is refused."""
    environment = service_environment(folder / "data") | settings
    command = [sys.executable, "-m", "media_inference", "up", *(arguments or ("--port", "0"))]
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("media-inference: ")]
    assert len(lines) == 1, ended.stderr
    return ended.returncode, lines[0]


def _describe_other_face_model(folder: Path, shared: Path) -> None:
    from tests.stands.model_files import MOBILEFACENET_TOML

    model = shared / "models" / "mobilefacenet_512.onnx"
    (folder / model.name).write_bytes(model.read_bytes())
    (folder / "other.toml").write_text(MOBILEFACENET_TOML.replace('"mobilefacenet"', '"other"'))


def test_the_doctor_finds_a_running_service_well(tmp_path: Path) -> None:
    with running_service(tmp_path):
        environment = service_environment(tmp_path / "data")
        command = [sys.executable, "-m", "media_inference", "doctor"]
        found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
    assert "in use by a running service" in found.stdout
