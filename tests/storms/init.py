"""A program that is started again whenever it ends, as an init system would."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.stands.running_service import worker_pids

_PATIENCE = 60.0


class Kept:
    """One command of the service under an init. ``name`` tells its role; its output goes to ``log``."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.exits: list[int] = []
        self._command, self._folder, self._environment = list(command), folder, dict(environment)
        self._stopping = False
        self._changed = threading.Condition()
        self._process = self._spawn()
        self._thread = threading.Thread(target=self._keep, name=f"init-{name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self._process.pid

    def children(self) -> dict[str, int]:
        """The worker processes that it supervises now: how the worker's id begins -> process id."""
        found = {}
        for pid in worker_pids(self.pid):
            with contextlib.suppress(OSError):  # it has ended
                found[Path(f"/proc/{pid}/comm").read_text().strip()] = pid
        return {name: pid for name, pid in found.items() if name.startswith("worker-")}

    def kill(self) -> None:
        """SIGKILL; it is started again."""
        self._process.kill()

    def terminate(self) -> None:
        """SIGTERM; it is started again."""
        self._process.terminate()

    def wait_for_exits(self, count: int, patience: float = _PATIENCE) -> None:
        """Returns when it has ended ``count`` times, and runs again."""
        with self._changed:
            ended = self._changed.wait_for(lambda: len(self.exits) >= count, patience)
        assert ended, f"{self.name} has ended {len(self.exits)} times in {patience:g} s, not {count}"

    def stop(self, patience: float = _PATIENCE) -> int:
        """SIGTERM, and the exit code; it is not started again."""
        self._stopping = True
        with self._changed:
            process = self._process
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            return process.wait(patience)
        finally:
            self.end()

    def end(self) -> None:
        """SIGKILL; it is not started again. The workers of a supervisor end when they notice."""
        self._stopping = True
        with self._changed:
            self._process.kill()
        self._thread.join()

    def _keep(self) -> None:
        while True:
            status = self._process.wait()
            with self._changed:
                if self._stopping:
                    return
                self._process = self._spawn()
                self.exits.append(status)
                self._changed.notify_all()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )


def kill(pid: int) -> None:
    """SIGKILL; whoever is gone already is left alone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def processes_in(folder: Path) -> list[int]:
    """The processes that were started in this folder, by whomever; not those that have ended and wait to be noticed."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it is gone, or it is a zombie
            if (place / "cwd").readlink() == folder:
                found.append(int(place.name))
    return found
