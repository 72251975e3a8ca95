"""A folder of pictures; the media_store_id is the file's name."""

import errno
import os
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

import structlog

from media_inference.errors import (
    CannotStart,
    Dependency,
    DependencyAway,
    ErrorCode,
    JobError,
    PermanentError,
    TransientError,
)
from media_inference.jobs.job import MEDIA_STORE_ID
from media_inference.media.store_kind import MAX_BYTES, StoreKind, StoreOptions

ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO}
FORBIDDEN = {errno.EACCES, errno.EPERM}

# Without O_NONBLOCK, opening a FIFO waits for a writer that may never come.
OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class FolderStore:
    """Regular files directly in ``folder``, at most ``max_bytes`` each.

    A symbolic link stands for the file that it leads to, as long as that one lies inside the folder.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def fetch(self, media_store_id: str) -> bytes:
        """See `MediaStore.fetch`. A file that may not be read is `media_forbidden`."""
        if not MEDIA_STORE_ID.fullmatch(media_store_id):
            raise _not_found()
        try:
            descriptor = self._open(media_store_id)
            try:
                return self._read(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._explain(error, media_store_id) from error

    def check(self) -> None:
        """See `MediaStore.check`."""
        if not self._reachable():
            raise _away()

    def close(self) -> None:
        """Nothing is held open."""

    def _open(self, name: str) -> int:
        """A descriptor of the file, or of the one that it leads to."""
        try:
            return os.open(self._folder / name, OPEN_FLAGS)
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.EMLINK}:  # what systems answer to O_NOFOLLOW for a link
                raise
            return os.open(self._locate(name), OPEN_FLAGS)

    def _locate(self, name: str) -> Path:
        root = os.path.realpath(self._folder)
        path = Path(os.path.realpath(self._folder / name))  # Path.resolve raises RuntimeError for a loop of links
        if not path.is_relative_to(root):
            raise _not_found()
        return path

    def _read(self, descriptor: int) -> bytes:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _not_found()
        if found.st_size > self._max_bytes:
            raise _too_large()
        chunks = []
        room = self._max_bytes
        while chunk := os.read(descriptor, room + 1):  # the file may grow while it is read
            room -= len(chunk)
            if room < 0:
                raise _too_large()
            chunks.append(chunk)
        return b"".join(chunks)

    def _explain(self, error: OSError, media_store_id: str) -> JobError:
        # In a folder that is not there (an unmounted disk) every item looks missing, and none is.
        if error.errno in ABSENT and self._reachable():
            return _not_found()
        log = structlog.get_logger()
        if error.errno in FORBIDDEN and self._reachable():
            log.error("media file may not be read", action="media_forbidden", media_store_id=media_store_id)
            return PermanentError(ErrorCode.MEDIA_FORBIDDEN, "the service may not read this media item")
        log.warning(
            "media folder fails", action="media_unavailable", media_store_id=media_store_id, reason=error.strerror
        )
        return _failing() if self._reachable() else _away()

    def _reachable(self) -> bool:
        return self._folder.is_dir() and os.access(self._folder, os.R_OK | os.X_OK)


def _not_found() -> PermanentError:
    return PermanentError(ErrorCode.MEDIA_NOT_FOUND, "the media store has no such item")


def _too_large() -> PermanentError:
    return PermanentError(ErrorCode.IMAGE_TOO_LARGE, "the file has too many bytes")


def _failing() -> TransientError:
    return TransientError(ErrorCode.MEDIA_UNAVAILABLE, "the media item can't be read now")


def _away() -> DependencyAway:
    return DependencyAway(Dependency.MEDIA_STORE, ErrorCode.MEDIA_UNAVAILABLE, "the media folder can't be read")


def _open(options: StoreOptions) -> FolderStore:
    parts = urlsplit(options.url)
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise CannotStart(f"a media folder is given as file:///absolute/path, not as {options.url!r}")
    return FolderStore(Path(unquote(parts.path)), options.max_bytes)


FILE = StoreKind("file", _open)
