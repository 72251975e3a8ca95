"""The real service in a real process, with real tokens, for the flow tests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2

BUILT_IN = {"IMAGE_MODEL": "gabor-512", "FACE_DETECTOR": "mtcnn", "FACE_MODEL": "gabor-face-512"}

_PATIENCE = 60.0

Json = dict[str, Any]
Seen = TypeVar("Seen")


class RunningService:
    """`media-inference up` in a folder of its own. Methods raise `AssertionError` on any answer but the good one."""

    def __init__(self, process: subprocess.Popen[bytes], data: Path, log: Path, token: str) -> None:
        self.process = process
        self.data = data
        self.log = log
        self.token = token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.client = httpx2.Client(headers=headers, timeout=30, trust_env=False)
        self.url = ""

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Any request, with the token."""
        return self.client.request(method, self.url + path, **options)

    def add_media(self, photo: Path) -> str:
        """Uploads a picture and returns its id."""
        with photo.open("rb") as file:
            answer = self.request("POST", "/media", files={"file": file})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["media_store_id"])

    def submit(self, task_type: str, media_store_id: str, priority: int = 5) -> str:
        """Posts a job and returns its id."""
        body = {"media_store_id": media_store_id, "priority": priority}
        answer = self.request("POST", f"/job/{task_type}", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["job_id"])

    def job(self, job_id: str) -> Json:
        """A job as it is now."""
        answer = self.request("GET", f"/job/{job_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def finished(self, job_id: str) -> Json:
        """A job when it is completed or failed."""
        return until(lambda: self.job(job_id), lambda job: job["status"] in {"completed", "failed"})

    def run(self, task_type: str, media_store_id: str) -> Json:
        """The result of a new job, which must be completed."""
        job = self.finished(self.submit(task_type, media_store_id))
        assert job["status"] == "completed", job
        return dict(job["result"])

    def vector(self, job_id: str, name: str = "embedding.bin") -> bytes:
        """A vector file of a job."""
        return (self.data / "inference" / "jobs" / job_id / name).read_bytes()

    def search(self, collection: str, **body: Any) -> list[Json]:
        """The hits of a search."""
        answer = self.request("POST", f"/search/{collection}", json=body)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["results"])

    def worker_pids(self) -> list[int]:
        """The worker processes that run now."""
        return worker_pids(self.process.pid)

    def wait_until_workers_are_ready(self) -> None:
        """Returns when `/health` is healthy."""
        until(lambda: self.request("GET", "/health").status_code, lambda status: status == 200)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE)


def worker_pids(supervisor: int) -> list[int]:
    """The workers of a process: forks of its templates."""
    return [worker for template in _running_workers(supervisor) for worker in _running_workers(template)]


def _running_workers(parent: int) -> list[int]:
    """The children of a process that are templates or workers, and have not ended."""
    listing = subprocess.run(
        ["ps", "-ww", "-o", "pid=,stat=,args=", "--ppid", str(parent)], capture_output=True, text=True, check=False
    )
    lines = (line.split(maxsplit=2) for line in listing.stdout.splitlines() if "worker_process" in line)
    return [int(pid) for pid, state, _ in lines if not state.startswith("Z")]


def until(look: Callable[[], Seen], good: Callable[[Seen], object], patience: float = _PATIENCE) -> Seen:
    """Looks again and again until what is seen is good; fails with what was seen last."""
    deadline = time.monotonic() + patience
    while True:
        seen = look()
        if good(seen):
            return seen
        assert time.monotonic() < deadline, f"still not so after {patience:g} s: {seen}"
        time.sleep(0.02)  # there is nothing to wait on: the service is asked as any client would


@contextmanager
def running_service(
    folder: Path,
    settings: Mapping[str, str] | None = None,
    *,
    workers: int = 1,
    command: str = "up",
    wait: bool = True,
    with_token: bool = True,
) -> Iterator[RunningService]:
    """Starts the service with its data in ``folder``/data, and stops it in the end.

    ``wait``: until it is healthy, workers included; `serve` never has any. ``with_token``: make one, which takes a
    process and half a second.
    """
    data, log = folder / "data", folder / f"{command}.log"
    environment = service_environment(data) | dict(settings or {})
    arguments = [sys.executable, "-m", "media_inference", command, "--port", "0"]
    arguments += ["--workers", str(workers)] if command == "up" else []
    with log.open("ab") as log_file:
        start = log_file.tell()
        process = subprocess.Popen(arguments, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=log_file)
    try:
        url = until(lambda: _url(log, start, process), bool)
        service = RunningService(process, data, log, make_token(folder, environment) if with_token else "")
    except BaseException:
        process.kill()
        process.wait()
        raise
    try:
        service.url = url
        if command == "up" and wait:
            service.wait_until_workers_are_ready()
        yield service
        if process.poll() is None:
            assert service.stop() == 0, log.read_text()
    finally:
        service.client.close()
        process.kill()
        process.wait()


def service_environment(data: Path) -> dict[str, str]:
    """An environment with nothing of this shell's settings; the built-in models, which are always there."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | BUILT_IN | {"DATABASE_DIR": str(data), "LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1"}


def make_token(folder: Path, environment: Mapping[str, str]) -> str:
    """A token for everything, made by the command."""
    command = [sys.executable, "-m", "media_inference", "token", "--sub", "test", "--admin"]
    command += ["--permission", "ai_inference_support"]
    made = subprocess.run(command, cwd=folder, env=dict(environment), capture_output=True, text=True, check=False)
    return made.stdout.strip()


def _url(log: Path, start: int, process: subprocess.Popen[bytes]) -> str:
    text = log.read_bytes()[start:].decode()
    assert process.poll() is None, f"the service ended with {process.returncode}: {text}"
    for line in text.splitlines():
        if line.startswith("{") and json.loads(line).get("event") in {"up.started", "serve.started"}:
            return str(json.loads(line)["url"])
    return ""
