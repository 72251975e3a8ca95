"""The built-in media folder: it takes uploads and numbers them."""

import contextlib
import errno
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import structlog

from media_inference.errors import ErrorCode, TransientError, UploadRefused
from media_inference.failpoints import Failpoint, failpoint
from media_inference.media.folder_store import FolderStore
from media_inference.media.store_kind import MAX_BYTES

UPLOAD_PREFIX = ".upload-"  # no media_store_id starts with a dot, so a half-written file is never served
ABANDONED_AFTER_SECONDS = 3600
CHUNK_BYTES = 1024 * 1024
FULL = {errno.ENOSPC, errno.EDQUOT}
HIGHEST_NUMBER = 9_007_199_254_740  # above it a name is no longer a number to the vector store


class FolderInbox(FolderStore):
    """A `FolderStore` that is also a `MediaInbox`. Safe to use from several threads and processes at once.

    Creates the folder, and removes uploads that a crash left half-written. A number is used once: it is only given
    out again after somebody removed the highest numbered files by hand and restarted the service.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(folder, max_bytes)
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _sync(folder.parent)
        self._sweep()
        self._last = max(self._numbers(), default=0)

    def add(self, source: BinaryIO) -> str:
        """See `MediaInbox.add`."""
        try:
            with self._upload() as (file, path):
                self._copy(source, file)
                failpoint(Failpoint.ADD_MEDIA_BEFORE_LINK)
                number = self._link(path)
                failpoint(Failpoint.ADD_MEDIA_AFTER_LINK)
            _sync(self._folder)
        except OSError as error:
            raise _explain(error) from error
        return str(number)

    @contextlib.contextmanager
    def _upload(self) -> Iterator[tuple[BinaryIO, Path]]:
        descriptor, name = tempfile.mkstemp(prefix=UPLOAD_PREFIX, dir=self._folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file, Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def _copy(self, source: BinaryIO, file: BinaryIO) -> None:
        size = 0
        while chunk := source.read(CHUNK_BYTES):
            size += len(chunk)
            if size > self._max_bytes:
                raise UploadRefused("the file is too large")
            file.write(chunk)
        if not size:
            raise UploadRefused("the file is empty")
        file.flush()
        os.fsync(file.fileno())

    def _link(self, path: Path) -> int:
        """Gives the file the next number. A hard link never replaces a file, so each number has one winner."""
        for number in itertools.count(self._last + 1):
            with contextlib.suppress(FileExistsError):
                (self._folder / str(number)).hardlink_to(path)
                self._last = max(self._last, number)
                return number
        raise AssertionError

    def _numbers(self) -> Iterator[int]:
        for name in (entry.name for entry in self._folder.iterdir()):
            if name.isascii() and name.isdecimal() and len(name) <= 13 and int(name) <= HIGHEST_NUMBER:
                yield int(name)

    def _sweep(self) -> None:
        before = time.time() - ABANDONED_AFTER_SECONDS
        for path in self._folder.glob(f"{UPLOAD_PREFIX}*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()


def _sync(folder: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(error: OSError) -> TransientError:
    structlog.get_logger().error("upload could not be stored", action="upload_failed", reason=error.strerror)
    if error.errno in FULL:
        return TransientError(ErrorCode.STORAGE_FULL, "there is no room left in the media folder")
    return TransientError(ErrorCode.MEDIA_UNAVAILABLE, "the media folder can't be written")
