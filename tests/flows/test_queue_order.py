"""Priorities hold, and the roles of the service run apart as well as together."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stands.running_service import RunningService, running_service, service_environment

pytestmark = pytest.mark.flow

PRIORITIES = [(7 * n * n + 3 * n) % 11 for n in range(30)]


def test_one_worker_starts_thirty_waiting_jobs_by_priority_then_first_in_first_out(
    tmp_path: Path, shared: Path
) -> None:
    environment = service_environment(tmp_path / "data")
    migrated = subprocess.run(
        [sys.executable, "-m", "media_inference", "migrate"], cwd=tmp_path, env=environment, check=True
    )
    assert migrated.returncode == 0
    _make_keys(tmp_path, environment)
    keys = {"PUBLIC_KEY_PATH": str(tmp_path / "data" / "public_key.pem")}
    with running_service(tmp_path, keys, command="serve") as service:
        media_id = service.add_media(shared / "photos" / "obama_1_240p.jpg")
        jobs = [(priority, service.submit("image_embedding", media_id, priority)) for priority in PRIORITIES]
        assert {service.job(job_id)["status"] for _, job_id in jobs} == {"pending"}
        stats = service.request("GET", "/admin/stats").json()
        assert sum(stats["queue_depth_by_priority"].values()) == 30
    with running_service(tmp_path, keys | {"JOBS_AT_ONCE": "1"}) as service:
        assert {service.finished(job_id)["status"] for _, job_id in jobs} == {"completed"}
        by_start = sorted((job_id for _, job_id in jobs), key=lambda job_id: _start(service, job_id))
    assert by_start == [job_id for _, job_id in sorted(jobs, key=lambda job: -job[0])]


def test_workers_of_another_process_find_jobs_by_polling(tmp_path: Path, shared: Path) -> None:
    environment = service_environment(tmp_path / "data")
    subprocess.run([sys.executable, "-m", "media_inference", "migrate"], cwd=tmp_path, env=environment, check=True)
    _make_keys(tmp_path, environment)
    with running_service(tmp_path, command="serve") as service:
        worker = subprocess.Popen(
            [sys.executable, "-m", "media_inference", "worker"], cwd=tmp_path, env=environment, start_new_session=True
        )
        try:
            assert service.run("face_detection", service.add_media(shared / "photos" / "astronaut.png"))
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0
        finally:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()


def _start(service: RunningService, job_id: str) -> int:
    """The id of the event of a job's only start: ids rise from one start to the next, times may be the same."""
    told = service.request("GET", f"/job/{job_id}/events").text
    (event_id,) = re.findall(r"^event: started\ndata: .*\nid: (\d+)$", told, re.MULTILINE)
    return int(event_id)


def _make_keys(folder: Path, environment: dict[str, str]) -> None:
    """The key pair that `up` would have made."""
    code = (
        "from media_inference.processes.keys import ensure_key_pair;"
        "from media_inference.settings import load_settings;"
        "ensure_key_pair(load_settings())"
    )
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=True)
