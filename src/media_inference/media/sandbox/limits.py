"""Takes from this process what it does not need to decode a picture."""

import contextlib
import ctypes
import math
import resource
import sys

from media_inference.media.sandbox.parent import end_with_parent
from media_inference.media.sandbox.protocol import Limits

STDERR_BYTES = 64 * 1024
DESCRIPTORS = 16

# linux/prctl.h, linux/sched.h
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000


def confine(limits: Limits) -> None:
    """For good: less memory, time, files and descriptors, no privileges to gain, no network, no life without parent."""
    if sys.platform == "linux":
        _confine_on_linux()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, STDERR_BYTES)  # stderr only: pixels go into a mapping, which this doesn't count
    _limit(resource.RLIMIT_NOFILE, DESCRIPTORS)
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds * (limits.pictures + 1))


def allow_time(limits: Limits) -> None:
    """A picture's share of CPU time from now on; past it the kernel ends the process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = math.ceil(usage.ru_utime + usage.ru_stime)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (min(used + limits.cpu_seconds, most), most))


def _limit(what: int, soft: int, hard: int | None = None) -> None:
    try:
        resource.setrlimit(what, (soft, soft if hard is None else hard))
    except (ValueError, OSError):
        if sys.platform == "linux":  # elsewhere some of them can't be set
            raise


def _confine_on_linux() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl refused")
    end_with_parent()
    # An empty network namespace. Root may have one, others by way of a user namespace, some containers allow neither.
    with contextlib.suppress(OSError):
        if libc.unshare(CLONE_NEWNET) != 0:
            libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)
