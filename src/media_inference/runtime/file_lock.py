"""One process at a time, by a lock file that its holder leaves behind only if it is killed."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Holds the lock file ``path``; waits for it as long as it takes, after one call of ``on_wait``.

    The system frees it when its holder dies, however that happens. Raises `OSError` when the file can't be made.
    """
    descriptor = _take(path, on_wait)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is freed, or it might be the next holder's
        os.close(descriptor)


def _take(path: Path, on_wait: Callable[[], None]) -> int:
    told = False
    while True:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if not _free(descriptor):
                if not told:
                    on_wait()
                    told = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_in_place(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _free(descriptor: int) -> bool:
    """Whether the lock was free, and is now taken."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_in_place(descriptor: int, path: Path) -> bool:
    """Whether this lock file is still the one that others would take: its last holder removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
