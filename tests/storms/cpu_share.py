"""How much of the machine others had meanwhile: a figure in milliseconds says little without it."""

import contextlib
import os
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.storms.init import processes_in


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Seconds since the machine started: all there were, those in which it worked, those of a storm's processes."""

    all: float
    busy: float
    own: float


def cpu_time(folder: Path) -> CpuTime:
    """Now; a storm's processes are this one, its children that have ended, and those that run in its ``folder``.

    So are the children of those, wherever they run: decoders have no folder.
    """
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    own = sum(_used(pid) for pid in _with_children(processes_in(folder)))
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        own += usage.ru_utime + usage.ru_stime
    return CpuTime(sum(ticks) / _per_second(), (sum(ticks) - idle) / _per_second(), own)


def others_share(before: CpuTime, after: CpuTime) -> float:
    """The part of the machine that others used, from 0 to 1."""
    others = after.busy - before.busy - (after.own - before.own)
    return max(0.0, others / (after.all - before.all))


def _with_children(pids: Iterable[int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            parent = int(place.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(place.parent.name))
    found, waiting = set[int](), list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def _used(pid: int) -> float:
    """With the children that it has waited for."""
    with contextlib.suppress(OSError):  # it has ended
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, words[11:15])) / _per_second()
    return 0.0


def _per_second() -> int:
    return os.sysconf("SC_CLK_TCK")
