"""Keeps a number of worker processes running."""

import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from typing import Protocol

import structlog

log = structlog.get_logger()

EXIT_CANNOT_START = 3
_LIVED_LONG = 10.0
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 15.0


class Process(Protocol):
    """A worker's process, as `subprocess.Popen` has it."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status. Raises `subprocess.TimeoutExpired`."""
        ...

    def terminate(self) -> None:
        """Asks it to end."""
        ...

    def kill(self) -> None:
        """Ends it."""
        ...


class Supervisor:
    """Starts ``count`` workers and one anew for each that dies: at once after a job's fault, else with growing delays.

    ``launch`` starts the process of a worker id. The id of each worker that ended goes to ``on_death``, before the next
    is started, or to ``on_stop`` when it was told to stop; neither may raise. ``on_death`` returns whether the worker
    died over a job: there is an end to that, since a job is charged. ``on_refusal`` is called when a worker can't start
    as things are set up (exit 3): starting another would end the same way.
    """

    def __init__(
        self,
        count: int,
        launch: Callable[[str], Process],
        *,
        on_death: Callable[[str], bool],
        on_stop: Callable[[str], None],
        on_refusal: Callable[[], None],
    ) -> None:
        self._launch = launch
        self._on_death = on_death
        self._on_stop = on_stop
        self._on_refusal = on_refusal
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._have_worked = False
        self._running: dict[str, Process] = {}
        self._threads = [
            threading.Thread(target=self._keep_one, name=f"supervisor-{slot}", daemon=True) for slot in range(count)
        ]

    def start(self) -> None:
        """Starts all workers."""
        for thread in self._threads:
            thread.start()

    def worker_ids(self) -> list[str]:
        """The workers that run now."""
        with self._lock:
            return list(self._running)

    def kill(self, worker_id: str) -> None:
        """Ends a worker that hangs; it is charged and replaced like one that died."""
        with self._lock:
            if process := self._running.get(worker_id):
                process.kill()

    def stop(self, grace: float) -> None:
        """Asks all workers to finish what they do, and kills those that have not after ``grace`` seconds."""
        with self._lock:
            self._stopping.set()
            running = list(self._running.values())
        deadline = time.monotonic() + grace
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
        for thread in self._threads:
            thread.join()

    def _keep_one(self) -> None:
        delay = _FIRST_DELAY
        while not self._stopping.is_set():
            worker_id = f"worker-{uuid.uuid4().hex[:12]}"
            begun = time.monotonic()
            status, over_a_job = self._run_one(worker_id)
            if self._stopping.is_set():
                return
            lived_long = time.monotonic() - begun > _LIVED_LONG
            self._have_worked |= lived_long
            if status == EXIT_CANNOT_START and not self._have_worked:
                self._on_refusal()
                return
            delay = _FIRST_DELAY if lived_long or over_a_job else min(delay * 2, _LONGEST_DELAY)
            log.error("worker.died", action="restart", worker_id=worker_id, exit_status=status, delay_s=delay)
            self._stopping.wait(delay)

    def _run_one(self, worker_id: str) -> tuple[int | None, bool]:
        """A worker from its start to its end: its exit status, if there was one, and whether a job was its end."""
        try:
            process = self._begin(worker_id)
        except OSError as error:  # no process or no descriptor to be had now
            log.warning("worker.not_started", action="start", worker_id=worker_id, error=str(error))
            return None, False
        if process is None:
            return None, False
        status = process.wait()
        with self._lock:
            del self._running[worker_id]
        if self._stopping.is_set():
            self._on_stop(worker_id)
            return status, False
        return status, self._on_death(worker_id)

    def _begin(self, worker_id: str) -> Process | None:
        with self._lock:
            if self._stopping.is_set():
                return None
            process = self._running[worker_id] = self._launch(worker_id)
        return process
