"""The supervisor, with real processes."""

import errno
import subprocess
import sys
import threading
from collections.abc import Callable

from media_inference.worker.supervisor import Supervisor

SLEEPS = "import time; print('ready', flush=True); time.sleep(600)"
IGNORES_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS


class Pool:
    """A supervisor of small programs, and what it told."""

    def __init__(self, *programs: str, count: int = 1) -> None:
        self.programs = list(programs)
        self.started: list[str] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self.refusals: list[OSError] = []
        self.dead: list[str] = []
        self.stopped: list[str] = []
        self.over_a_job = False
        self.refused = threading.Event()
        self.all_started = threading.Event()
        self.supervisor = Supervisor(
            count,
            self._launch,
            on_death=self._note_death,
            on_stop=self.stopped.append,
            on_refusal=self.refused.set,
        )

    def _launch(self, worker_id: str) -> subprocess.Popen[bytes]:
        if self.refusals:
            raise self.refusals.pop()
        program = self.programs[min(len(self.started), len(self.programs) - 1)]
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        if "ready" in program:
            assert process.stdout is not None
            process.stdout.readline()
        self.processes.append(process)
        self.started.append(worker_id)
        if len(self.started) >= len(self.programs):
            self.all_started.set()
        return process

    def _note_death(self, worker_id: str) -> bool:
        self.dead.append(worker_id)
        return self.over_a_job

    def close(self) -> None:
        for process in self.processes:
            if process.stdout is not None:
                process.stdout.close()


def run(pool: Pool, meanwhile: Callable[[], object], grace: float = 30) -> None:
    pool.supervisor.start()
    meanwhile()
    pool.supervisor.stop(grace)
    pool.close()


def test_a_worker_that_dies_is_reported_and_replaced() -> None:
    pool = Pool("import os; os.abort()", "raise SystemExit(1)", SLEEPS)
    run(pool, lambda: pool.all_started.wait(30))
    assert pool.dead == pool.started[:2]
    assert pool.stopped == pool.started[2:]
    assert len(set(pool.started)) == 3


def test_workers_that_die_over_jobs_are_replaced_without_growing_delays() -> None:
    pool = Pool(*["raise SystemExit(1)"] * 12, SLEEPS)  # with growing delays it would take a minute
    pool.over_a_job = True
    run(pool, lambda: pool.all_started.wait(30))
    assert pool.dead == pool.started[:12]
    assert len(pool.started) == 13


def test_a_worker_that_cannot_start_is_not_started_again() -> None:
    pool = Pool("raise SystemExit(3)")
    run(pool, lambda: pool.refused.wait(30))
    assert len(pool.started) == 1


def test_a_worker_that_does_not_stop_is_killed_after_the_grace() -> None:
    pool = Pool(IGNORES_SIGTERM)
    run(pool, lambda: pool.all_started.wait(30), grace=0.1)
    assert pool.processes[0].returncode == -9
    assert (pool.dead, pool.stopped) == ([], pool.started)


def test_a_worker_that_hangs_can_be_killed_and_is_replaced() -> None:
    pool = Pool(SLEEPS, SLEEPS)

    def kill_first() -> None:
        while not pool.supervisor.worker_ids():
            threading.Event().wait(0.01)
        pool.supervisor.kill(pool.supervisor.worker_ids()[0])
        pool.all_started.wait(30)

    run(pool, kill_first)
    assert len(pool.dead) == 1


def test_a_worker_is_started_later_when_no_process_is_to_be_had_now() -> None:
    pool = Pool(SLEEPS)
    pool.refusals = [OSError(errno.EAGAIN, "no process"), OSError(errno.EMFILE, "no descriptor")]
    run(pool, lambda: pool.all_started.wait(30))
    assert (pool.dead, pool.stopped) == ([], pool.started)
    assert len(pool.started) == 1
