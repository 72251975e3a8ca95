"""The reference media_store server of examples/media_store, as a real process on loopback."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx2

from tests.stands.running_service import until

SERVER = Path(__file__).resolve().parents[2] / "examples" / "media_store" / "server.py"
TOKEN = "open-sesame"

Json = dict[str, Any]


class ReferenceStore:
    """A server on ``folder`` that may be killed and started again: its address stays the same."""

    def __init__(self, folder: Path, token: str | None = TOKEN) -> None:
        self.folder = folder
        self.token = token
        folder.mkdir(parents=True, exist_ok=True)
        # Bound, but without listening: while the server is away nobody else is given the port, and nobody answers.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._reserved.getsockname()[1]}"
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.client = httpx2.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Starts the server, unless it runs, and returns when it answers."""
        if self._process is not None:
            return
        command = [sys.executable, str(SERVER), str(self.folder), "--port", self.url.rpartition(":")[2]]
        command += ["--token", self.token] if self.token else []
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        until(self._answers, bool)

    def kill(self) -> None:
        """SIGKILL: no time to tidy anything up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def suspend(self) -> None:
        """SIGSTOP: connections are still accepted by the kernel, and nobody says anything."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Ends it for good; its folder stays."""
        self.kill()
        self.client.close()
        self._reserved.close()

    def put(self, media_id: str, content: bytes) -> None:
        """Puts a photo there."""
        assert self.client.put(f"/media/{media_id}", content=content).status_code == 204

    def results(self, media_id: str) -> list[Json]:
        """What was uploaded for a photo, oldest first; `crops` are paths for `client`."""
        return list(self._json(f"/media/{media_id}/results"))

    def stats(self) -> dict[str, dict[str, int]]:
        """How often what was asked for: `fetched`, `not_modified`, `uploads`, `upload_requests`."""
        return dict(self._json("/stats"))

    def _json(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self.client.get("/").status_code == 200
        except httpx2.TransportError:
            return False
