"""A file's bytes without a copy of them."""

import hashlib
import mmap
import os
from pathlib import Path


class MappedFile:
    """``content`` is what the file holds, for as long as it is `unchanged`. ``path`` leads over no link.

    Raises `OSError` when it is missing, can't be read or is on a disk that maps nothing, `ValueError` when it is
    empty or its name is no text.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve(strict=True)
        str(self.path).encode()  # the engine takes no other names
        with self.path.open("rb") as file:
            self._seen = _state(os.fstat(file.fileno()))
            self.content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            # Read, not mapped: pages that were touched would count as this process's memory.
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()

    def let_go_of_pages(self) -> None:
        """What was looked at so far no longer counts as this process's memory; it can be looked at again."""
        self.content.madvise(mmap.MADV_DONTNEED)

    @property
    def unchanged(self) -> bool:
        """Whether nobody wrote to the file or put another one in its place since it was opened."""
        try:
            return _state(self.path.stat()) == self._seen
        except OSError:
            return False


def _state(file: os.stat_result) -> tuple[int, ...]:
    # Whoever writes may set the time of the last write back, but not that of the last change.
    return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns
