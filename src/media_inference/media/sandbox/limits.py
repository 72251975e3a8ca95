"""Limits that the kernel keeps for this process, by ``setrlimit``."""

import math
import os
import re
import resource
import sys
from collections.abc import Mapping

from media_inference.media.sandbox.missing import Missing
from media_inference.media.sandbox.privileges import BY_USER_NAMESPACE, FIRST_USER
from media_inference.media.sandbox.protocol import Limits

STDERR_BYTES = 64 * 1024

DESCRIPTORS = 7
"""0, 1 and 2, the channel, the file, the memory for the pixels and what `mmap` duplicates of it. A child that has been
taken over could keep the memories of earlier pictures, which count nowhere: this leaves room for very few."""

PROCESSES = 16
"""HEIF is decoded by two threads, and threads count on Linux."""

COUNTED_PER_NAMESPACE = (5, 14)  # Linux; before, it counts all processes that a user has anywhere


def limit_memory(limits: Limits, _held: Mapping[str, str]) -> str:
    """Address space."""
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    return f"{limits.memory_bytes >> 20} MiB"


def limit_file_size(_limits: Limits, _held: Mapping[str, str]) -> str:
    """Enough for stderr: pixels go into a mapping, which this doesn't count. And no dump of its memory."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, STDERR_BYTES)
    return f"{STDERR_BYTES >> 10} KiB"


def limit_descriptors(_limits: Limits, _held: Mapping[str, str]) -> str:
    """Numbers that a new descriptor may have; the channel may have a higher one already."""
    _limit(resource.RLIMIT_NOFILE, DESCRIPTORS)
    return str(DESCRIPTORS)


def limit_processes(_limits: Limits, held: Mapping[str, str]) -> str:
    """Only where the kernel counts this process alone: others of its user would take its threads away."""
    if sys.platform != "linux":
        _limit(resource.RLIMIT_NPROC, 0)  # which doesn't count threads there
        return "no other"
    if os.getuid() < FIRST_USER and not (held.get("network") == BY_USER_NAMESPACE and _counts_per_namespace()):
        raise Missing("the kernel would count all processes of its user")
    _limit(resource.RLIMIT_NPROC, PROCESSES)
    return f"{PROCESSES}, threads included"


def limit_cpu_time(limits: Limits, _held: Mapping[str, str]) -> str:
    """A picture's share (see `allow_time`), and that of all its pictures."""
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds * (limits.pictures + 1))
    return f"{limits.cpu_seconds} s a picture"


def allow_time(limits: Limits) -> None:
    """A picture's share of CPU time from now on; past it the kernel ends the process."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    if most == resource.RLIM_INFINITY:  # it could not be limited at all
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = math.ceil(usage.ru_utime + usage.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (min(used + limits.cpu_seconds, most), most))


def _limit(what: int, soft: int, hard: int | None = None) -> None:
    """Never above what whoever started the service allows."""
    _, most = resource.getrlimit(what)
    hard = soft if hard is None else hard
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    try:
        resource.setrlimit(what, (soft, hard))
    except ValueError as error:
        raise Missing(f"can't be set: {error}") from error


def _counts_per_namespace() -> bool:
    numbers = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return numbers is not None and tuple(map(int, numbers.groups())) >= COUNTED_PER_NAMESPACE
