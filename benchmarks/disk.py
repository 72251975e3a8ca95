"""How long the disk takes to keep a promise: below that nothing durable can be."""

import os
import time
from pathlib import Path
from statistics import median

_PAGE = b"x" * 4096
_WRITES = 100


def sync_milliseconds(folder: Path) -> float:
    """The median of a page written over and synced: what a small commit comes to while SQLite's log keeps its size.

    A page that makes a file longer can take ten times as long.
    """
    taken = []
    with (folder / "sync").open("wb", buffering=0) as file:
        file.write(_PAGE * _WRITES)
        os.fsync(file.fileno())
        for page in range(_WRITES):
            begun = time.perf_counter()
            os.pwrite(file.fileno(), _PAGE, page * len(_PAGE))
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - begun) * 1000)
    return median(taken)
