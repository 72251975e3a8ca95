"""A file that one process holds at a time."""

import fcntl
import os
from pathlib import Path


def hold(path: Path) -> int:
    """Takes the file, made when it is missing, until the returned descriptor is closed or the process ends.

    Raises `BlockingIOError` when another process holds it, another `OSError` when it can't be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
