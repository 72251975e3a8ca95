"""Faults that strike a process of the service from within, at one of its failpoints.

A storm writes a plan; every process of its service looks at the plan whenever it comes past a failpoint::

    17 settle.after_commit * 2 kill       the second time that this process comes past it, for whatever subject
    18 fetch.after poison-7 every abort   whenever it comes past it for the media item poison-7

A fault that counts strikes once in the whole service, not once per process: a restarted process goes free. What has
struck is noted under its number before it strikes, so that the storm can wait for it.
"""

import contextlib
import ctypes
import itertools
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from media_inference.failpoints import Failpoint, install

EVERY = 0
ANYTHING = "*"


class Action(StrEnum):
    """What happens to the process. ``exhaust``: it takes memory until there is none. ``hang``: it never goes on."""

    NOTE = "note"
    KILL = "kill"
    STOP = "stop"
    RAISE = "raise"
    SLEEP = "sleep"
    ABORT = "abort"
    SEGFAULT = "segfault"
    EXHAUST = "exhaust"
    HANG = "hang"


@dataclass(frozen=True, slots=True)
class Fault:
    """``hit``: the how many-th time it strikes, from 1; `EVERY` for each time. ``subject``: as `failpoint` says."""

    point: Failpoint
    action: Action
    hit: int = 1
    subject: str = ANYTHING

    def __str__(self) -> str:
        return f"{self.point} {self.subject} {self.hit or 'every'} {self.action}"

    @classmethod
    def of(cls, words: str) -> "Fault":
        """The other end of `str`."""
        point, subject, hit, action = words.split()
        return cls(Failpoint(point), Action(action), EVERY if hit == "every" else int(hit), subject)


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that struck, by its number; where, for what subject, and in which process."""

    number: int
    point: Failpoint
    subject: str
    pid: int


class Faults:
    """The faults of one service, as the storm sees them. ``folder`` is the storm's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._armed: dict[int, Fault] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._write()

    def environment(self) -> dict[str, str]:
        """What the processes of the service need in their environment."""
        return {"STORM_FAULTS": str(self._folder)}

    def arm(self, *faults: Fault) -> list[int]:
        """From now on these too; returns their numbers."""
        new = {next(self._numbers): fault for fault in faults}
        self._armed |= new
        self._write()
        return list(new)

    def disarm(self, *numbers: int) -> None:
        """From now on none of these; without any, none at all."""
        self._armed = {number: fault for number, fault in self._armed.items() if numbers and number not in numbers}
        self._write()

    def struck(self, number: int | None = None) -> list[Struck]:
        """All that have struck since the beginning, or all strikes of one fault."""
        noted = self._folder / "struck"
        lines = noted.read_text().splitlines() if noted.exists() else []
        every = [
            Struck(int(told), Failpoint(point), subject, int(pid))
            for told, point, subject, pid in (line.split() for line in lines)
        ]
        return [struck for struck in every if number is None or struck.number == number]

    def _write(self) -> None:
        new = self._folder / "plan.new"
        new.write_text("\n".join(f"{number} {fault}" for number, fault in self._armed.items()))
        new.rename(self._folder / "plan")


def arm_this_process(folder: str) -> None:
    """Makes this process one that faults may strike; called by the hook."""
    install(_Striker(Path(folder)).strike)


class _Striker:
    """The other end of `Faults`, inside a process of the service."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._faults: dict[int, Fault] = {}
        self._hits: Counter[int] = Counter()

    def strike(self, point: Failpoint, subject: str) -> None:
        with self._lock:
            self._look()
            due = {
                number: fault for number, fault in self._faults.items() if self._is_due(number, fault, point, subject)
            }
        for number, fault in due.items():
            self._note(number, point, subject)
            _ACTIONS[fault.action]()

    def _look(self) -> None:
        found = (self._folder / "plan").stat()
        if (seen := (found.st_ino, found.st_mtime_ns)) != self._seen:
            lines = (line.partition(" ") for line in (self._folder / "plan").read_text().splitlines())
            self._seen, self._faults = seen, {int(number): Fault.of(words) for number, _, words in lines}

    def _is_due(self, number: int, fault: Fault, point: Failpoint, subject: str) -> bool:
        if fault.point != point or fault.subject not in {ANYTHING, subject}:
            return False
        self._hits[number] += 1
        if fault.hit == EVERY:
            return True
        return self._hits[number] == fault.hit and self._is_first(number)

    def _is_first(self, number: int) -> bool:
        """Whether no other process was struck by it."""
        with contextlib.suppress(FileExistsError):
            (self._folder / f"struck-{number}").touch(exist_ok=False)
            return True
        return False

    def _note(self, number: int, point: Failpoint, subject: str) -> None:
        line = f"{number} {point} {subject or '-'} {os.getpid()}\n"
        descriptor = os.open(self._folder / "struck", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, line.encode())
        os.close(descriptor)


def _raise() -> None:
    raise OSError("a fault of the storm")


def _segfault() -> None:
    ctypes.string_at(0)


def _exhaust() -> None:
    """Takes real memory, up to a bound so that others have some left, and then dies as by the kernel's hand."""
    taken = [bytes([1]) * (1 << 24) for _ in range(16)]
    os.kill(os.getpid(), signal.SIGKILL)
    taken.clear()


def _hang() -> None:
    """In native code, with the interpreter's lock let go, as an inference engine would."""
    threading.Event().wait()


_ACTIONS = {
    Action.NOTE: lambda: None,
    Action.KILL: lambda: os.kill(os.getpid(), signal.SIGKILL),
    Action.STOP: lambda: os.kill(os.getpid(), signal.SIGSTOP),
    Action.RAISE: _raise,
    Action.SLEEP: lambda: time.sleep(0.2),
    Action.ABORT: os.abort,
    Action.SEGFAULT: _segfault,
    Action.EXHAUST: _exhaust,
    Action.HANG: _hang,
}
