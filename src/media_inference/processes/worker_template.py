"""One worker after the other, each a fork of a process that has imported what all of them need.

Imports are four fifths of the CPU time that a worker needs to start. Where jobs kill their workers it is others that
wait meanwhile. Both ends of the two pipes between a supervisor and a template are here: a line with a worker's id goes
in; its process id, and later its exit status, come out.
"""

import ctypes
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import cast

from media_inference.queue.wake import Wake

CAN_FORK = sys.platform == "linux"
"""Elsewhere libraries of the system don't survive it: there a template becomes a worker itself, and ends with it."""

_BEGINS_WITHIN = 0.2
"""Seconds. A template that has not reported a worker by then still imports, as good as ever."""
_PATIENCE = 1.0
_PARENT_DEATH_SIGNAL = 1
"""Of prctl(2)."""

_REPORT = struct.Struct("=i")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class WorkerTemplate:
    """A template as its supervisor sees it. ``doorbell`` wakes whichever worker it is at the moment.

    Raises `OSError` when no process is to be had now.
    """

    def __init__(self, command: Sequence[str], passed: Sequence[int], environment: Mapping[str, str]) -> None:
        with ExitStack() as ours, ExitStack() as theirs:
            orders, self._orders = _pipe(theirs, ours)
            work, bell = _pipe(theirs, ours)
            self._reports, reports = _pipe(ours, theirs)
            # A session of its own, so that a Ctrl-C meant for its supervisor doesn't reach it.
            self._process = subprocess.Popen(
                [*command, "--work-fd", str(work), "--reports-fd", str(reports)],
                stdin=orders,
                pass_fds=[*passed, work, reports],
                env=environment,
                start_new_session=True,
            )
            self.doorbell = Wake(None, bell)
            self._ends = ours.pop_all()

    @property
    def can_begin(self) -> bool:
        """Whether it can make another worker when its last one has ended."""
        return CAN_FORK and self._process.poll() is None

    def begin(self, worker_id: str) -> "WorkerLife":
        """Makes it a worker; the last one must have ended. Raises `OSError` when the template has ended itself."""
        os.write(self._orders, worker_id.encode() + b"\n")
        return WorkerLife(self)

    def next_report(self, timeout: float | None) -> int | None:
        """The next number that it reports, None when it has ended. Raises `subprocess.TimeoutExpired`."""
        poll = select.poll()
        poll.register(self._reports, select.POLLIN)
        if not poll.poll(None if timeout is None else max(0.0, timeout) * 1000):
            raise subprocess.TimeoutExpired(self._process.args, timeout or 0.0)
        report = os.read(self._reports, _REPORT.size)  # written at once, so it is whole
        return int(_REPORT.unpack(report)[0]) if report else None

    def exit_status(self) -> int:
        """The template's own, when it has ended."""
        return self._process.wait()

    def kill(self) -> None:
        """Ends it, and its worker."""
        self._process.kill()

    def close(self) -> None:
        """Ends it, once its worker has ended."""
        self._ends.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:  # it is stopped, or swapped out
            self.kill()
            self._process.wait()


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """Its ends, and who closes each."""
    ends = os.pipe()
    for end, owner in zip(ends, (reader, writer), strict=True):
        owner.callback(os.close, end)
    return ends


class WorkerLife:
    """One worker, with the methods of `subprocess.Popen` that a supervisor needs. Safe to use from several threads."""

    def __init__(self, template: WorkerTemplate) -> None:
        self._template = template
        self._lock = threading.Lock()
        self._began = threading.Event()
        self._pid: int | None = None
        self._status: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, as `subprocess.Popen` has it. Raises `subprocess.TimeoutExpired`.

        A thread must wait all the time: it is the one that hears what the template reports.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._lock.acquire(timeout=-1 if timeout is None else timeout):
            raise subprocess.TimeoutExpired("worker", timeout or 0.0)
        try:
            while self._status is None:
                self._heed(self._template.next_report(None if deadline is None else deadline - time.monotonic()))
            return self._status
        finally:
            self._lock.release()

    def terminate(self) -> None:
        """Asks it to finish what it does."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it; and its template, if that does not report the end soon."""
        self._send(signal.SIGKILL)
        insist = threading.Timer(_PATIENCE, self._insist)
        insist.daemon = True
        insist.start()

    def _insist(self) -> None:
        if self._status is None:
            self._template.kill()

    def _heed(self, report: int | None) -> None:
        if report is None:  # the template was killed, and its worker with it
            self._status = self._template.exit_status()
        elif self._pid is None:
            self._pid = report
        else:
            self._status = report
        self._began.set()

    def _send(self, number: signal.Signals) -> None:
        """No other process can have the id: the template lets it go when it is asked for the next worker."""
        if not self._began.wait(_BEGINS_WITHIN):
            self._template.kill()
        elif self._pid is not None and self._status is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)


def next_worker(reports: int) -> str | None:
    """In a template, when there are no more orders on stdin: None. In each of its forks: the id of the worker to be.

    A fork goes on from here as a process of a session of its own, with the usual signals and nothing on stdin.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # who started the service may have ignored it, and nothing would end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # who ends all processes of a service at once leaves it to report
    ended = None
    with suppress(BrokenPipeError):  # the supervisor is gone
        while worker_id := sys.stdin.readline().strip():
            _reap(ended)
            pid = _fork(reports, worker_id) if CAN_FORK else _become_worker(reports)
            if pid == 0:
                return worker_id
            os.write(reports, _REPORT.pack(pid))
            ended = cast("os.waitid_result", os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT))
            status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
            os.write(reports, _REPORT.pack(status))
    _reap(ended)
    return None


def _fork(reports: int, worker_id: str) -> int:
    """0 in the fork, which is called as its id begins. A signal that comes too early for it waits."""
    template = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        pid = os.fork()
    except OSError as error:
        sys.exit(f"media-inference: no process for a worker: {error.strerror}")
    if pid == 0:
        _end_with(template)
        os.setsid()
        os.close(reports)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        with suppress(OSError):
            Path("/proc/self/comm").write_text(worker_id, encoding="ascii")
        _restore_signals()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    return pid


def _end_with(template: int) -> None:
    """If a template is killed, nobody would hear of its worker any more."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != template:  # too late
        os._exit(1)


def _become_worker(reports: int) -> int:
    """What it reports on stays open as long as it lives: its end is the end of the worker."""
    _restore_signals()
    os.write(reports, _REPORT.pack(os.getpid()))
    return 0


def _restore_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _reap(ended: os.waitid_result | None) -> None:
    if ended is not None:
        os.waitpid(ended.si_pid, 0)
