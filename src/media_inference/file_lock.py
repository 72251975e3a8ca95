"""A file or a folder that one process holds at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def hold(path: Path) -> int:
    """Takes the file, made when it is missing, until the returned descriptor is closed or the process ends.

    Raises `BlockingIOError` when another process holds it, another `OSError` when it can't be opened.
    """
    return _locked(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


@contextmanager
def hold_folder(path: Path) -> Iterator[None]:
    """Takes the folder, made when it is missing, for as long as the block runs. Raises as `hold` does."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = _locked(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> int:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
