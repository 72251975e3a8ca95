"""What a process and all that it started have used, from /proc."""

import os
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_OWN_AND_CHILDREN = slice(11, 15)
"""utime, stime, cutime, cstime, counted from the state, which follows the name: proc_pid_stat(5), fields 14 to 17."""


def cpu_seconds(pid: int) -> float:
    """CPU time of the tree so far; of what has ended, as far as its parent lives and has waited for it."""
    return sum(map(_cpu_seconds, _tree(pid)))


def resident_mb(pid: int) -> float:
    """Memory of one process, in MB of 10**6 bytes."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii", errors="replace").splitlines()
    (kilobytes,) = [int(line.split()[1]) for line in lines if line.startswith("VmRSS:")]
    return kilobytes * 1024 / 1e6


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = path.read_text("ascii").split()
        except OSError:  # the thread has ended
            continue
        for child in children:
            yield from _tree(int(child))


def _cpu_seconds(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except OSError:  # the process has ended
        return 0.0
    return sum(map(int, stat.rpartition(") ")[2].split()[_OWN_AND_CHILDREN])) / _TICKS
