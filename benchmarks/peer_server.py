"""An HTTP server that is measured beside ours, in a process of its own."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from benchmarks.child import ROOT, SideFailed
from tests.stands.running_service import until


@contextmanager
def peer_server(
    command: Sequence[object], port: int, folder: Path, *, ready: str, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Starts it, waits until ``ready`` answers, yields the port and ends it. Raises `SideFailed`."""
    said = folder / f"server-{port}.log"
    with said.open("wb") as log:
        process = subprocess.Popen([*map(str, command)], cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        until(lambda: process.poll() is not None or _answers(port, ready), bool, patience=180)
        if process.poll() is not None:
            raise SideFailed(said.read_text(errors="replace").strip().splitlines()[-1])
        yield port
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int, path: str) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=5).status_code < 500
    except httpx2.TransportError:
        return False
