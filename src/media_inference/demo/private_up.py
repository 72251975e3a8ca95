"""A private `media-inference up`: its own data folder, port and key, gone afterwards."""

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx2

from media_inference.api.tokens import sign
from media_inference.demo.failure import DemoFailed
from media_inference.errors import CannotStart

_READY_WITHIN = 180.0
_STOPS_WITHIN = 30.0
_TOKEN_SECONDS = 6 * 3600
_EXIT_CANNOT_START = 3


@dataclass(frozen=True, slots=True)
class PrivateUp:
    """A running service: where it listens, and a token that it accepts."""

    url: str
    token: str


@contextmanager
def private_up(environment: Mapping[str, str], workers: int) -> Iterator[PrivateUp]:
    """Starts the service, waits until it is ready, and stops it at the end, whatever that end is.

    ``environment`` is all that it gets; its DATABASE_DIR is a new temporary folder. Raises `CannotStart` with the
    service's own line when it can't start, and `DemoFailed` when it doesn't get ready; a `DemoFailed` of the block is
    told as the end of the service if that is what it was.
    """
    with tempfile.TemporaryDirectory(prefix="media-inference-demo-") as folder, _sigterm_unwinds():
        data, log = Path(folder, "data"), Path(folder, "service.log")
        port = _free_port()
        command = [sys.executable, "-m", "media_inference", "up", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--workers", str(workers)]
        with log.open("wb") as log_file:
            process = subprocess.Popen(
                command,
                env={**environment, "DATABASE_DIR": str(data)},
                cwd=folder,  # a .env of the caller's folder is not meant for it
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log_file,
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(process, url, log)
            yield PrivateUp(url, _token(data))
        except DemoFailed as error:
            if process.poll() is None:
                raise
            raise DemoFailed(f"the service ended by itself: {_last_line(log)}") from error
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    until = time.monotonic() + _READY_WITHIN
    with httpx2.Client(base_url=url, timeout=5.0, trust_env=False) as client:
        while not _is_ready(client):
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(0.1)
                failure = CannotStart if code == _EXIT_CANNOT_START else DemoFailed
                raise failure(_last_line(log))
            if time.monotonic() > until:
                raise DemoFailed(f"the service is not ready after {_READY_WITHIN:g} s: {_last_line(log)}")


def _is_ready(client: httpx2.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx2.TransportError:
        return False


def _token(data: Path) -> str:
    key = (data / "private_key.pem").read_bytes()
    return sign(key, subject="demo", permissions=["ai_inference_support"], ttl_seconds=_TOKEN_SECONDS)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    said = [line.strip().removeprefix("media-inference: ") for line in lines if line.strip()]
    return said[-1] if said else "it said nothing"


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """SIGTERM ends the block as an exception does, so that the service is stopped and the folder removed."""

    def unwind(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
