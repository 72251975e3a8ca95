"""Templates and the workers that they become, with real processes."""

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from media_inference.processes.worker_template import WorkerTemplate
from tests.stands.running_service import until

PROGRAM = """
import os, sys, time
from media_inference.processes.worker_template import next_worker

match next_worker(int(sys.argv[-1])):
    case None:
        sys.exit(0)
    case "worker-returns":
        sys.exit(7)
    case "worker-aborts":
        os.abort()
    case "worker-reads":
        sys.exit(len(sys.stdin.read()))
    case _:
        time.sleep(600)
"""


@pytest.fixture
def template() -> Iterator[WorkerTemplate]:
    template = WorkerTemplate([sys.executable, "-c", PROGRAM], [], os.environ)
    yield template
    template.close()


@contextmanager
def all_descriptors_but(count: int) -> Iterator[None]:
    """So many are left that this process may open."""
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0) for _ in range(32)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[-1] + 1, most))
    for one in taken[len(taken) - count :]:
        os.close(one)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, most))
        for one in taken[: len(taken) - count]:
            os.close(one)


def children_of(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def pid_of(template: WorkerTemplate) -> int:
    return template._process.pid


def running_worker(template: WorkerTemplate) -> int:
    """The process id of a worker that has been called by its name, so that it has begun."""
    (pid,) = until(lambda: children_of(pid_of(template)), lambda pids: len(pids) == 1)
    until(lambda: Path(f"/proc/{pid}/comm").read_text(), lambda name: name.startswith("worker-"))
    return pid


def test_one_worker_after_the_other_each_with_its_own_end(template: WorkerTemplate) -> None:
    ends = [template.begin(name).wait(30) for name in ("worker-returns", "worker-aborts", "worker-returns")]
    assert ends == [7, -signal.SIGABRT, 7]
    assert template.can_begin


def test_a_worker_is_a_process_of_a_session_of_its_own_called_as_its_id_begins(template: WorkerTemplate) -> None:
    life = template.begin("worker-0123456789ab")
    pid = running_worker(template)
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/comm").read_text() == "worker-01234567\n"
    with pytest.raises(subprocess.TimeoutExpired):
        life.wait(0.05)
    life.terminate()
    assert life.wait(30) == -signal.SIGTERM
    life.kill()  # there is none to kill, and no other process either


def test_orders_are_not_for_workers_to_read(template: WorkerTemplate) -> None:
    assert template.begin("worker-reads").wait(30) == 0


def test_signals_for_all_processes_of_a_service_leave_a_template_to_report(template: WorkerTemplate) -> None:
    life = template.begin("worker-sleeps")
    pid = running_worker(template)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(pid_of(template), number)
    os.kill(pid, signal.SIGTERM)
    assert life.wait(30) == -signal.SIGTERM
    assert template.can_begin


def test_a_template_that_is_killed_takes_its_worker_with_it(template: WorkerTemplate) -> None:
    life = template.begin("worker-sleeps")
    pid = running_worker(template)
    with pytest.raises(subprocess.TimeoutExpired):
        life.wait(0.05)  # it has heard of the worker then
    os.kill(pid_of(template), signal.SIGKILL)
    assert life.wait(30) == -signal.SIGKILL
    until(lambda: Path(f"/proc/{pid}").exists(), lambda there: not there)
    assert not template.can_begin
    with pytest.raises(OSError, match="Broken pipe"):
        template.begin("worker-returns")


def test_a_worker_that_has_not_begun_is_ended_with_its_template(template: WorkerTemplate) -> None:
    os.kill(pid_of(template), signal.SIGSTOP)
    life = template.begin("worker-sleeps")
    ends: list[int] = []
    waits = threading.Thread(target=lambda: ends.append(life.wait()))
    waits.start()
    life.terminate()
    waits.join(30)
    assert ends == [-signal.SIGKILL]


def test_a_template_that_is_stopped_does_not_hold_up_the_end(template: WorkerTemplate) -> None:
    life = template.begin("worker-sleeps")
    running_worker(template)
    ends: list[int] = []
    waits = threading.Thread(target=lambda: ends.append(life.wait()))
    waits.start()
    os.kill(pid_of(template), signal.SIGSTOP)
    life.kill()
    waits.join(30)
    assert ends == [-signal.SIGKILL]


def test_a_worker_does_not_outlive_its_template_whoever_killed_that(template: WorkerTemplate) -> None:
    template.begin("worker-sleeps")
    pid = running_worker(template)
    os.kill(pid_of(template), signal.SIGKILL)
    until(lambda: Path(f"/proc/{pid}").exists(), lambda there: not there)


def test_ends_are_told_although_the_service_was_started_with_sigchld_ignored() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        template = WorkerTemplate([sys.executable, "-c", PROGRAM], [], os.environ)
        assert template.begin("worker-returns").wait(30) == 7
    finally:
        signal.signal(signal.SIGCHLD, before)
    template.close()


def test_a_start_that_fails_leaves_no_descriptor_behind() -> None:
    with all_descriptors_but(5):
        for _ in range(3):
            with pytest.raises(OSError, match="Too many open files"):
                WorkerTemplate([sys.executable, "-c", PROGRAM], [], os.environ)
        free = [os.dup(0) for _ in range(5)]
    for one in free:
        os.close(one)


def test_a_worker_may_be_the_last_of_its_template(template: WorkerTemplate) -> None:
    """The supervisor is gone."""
    template.begin("worker-sleeps")
    worker = running_worker(template)
    template._ends.close()
    os.kill(worker, signal.SIGKILL)
    assert template.exit_status() == 0
