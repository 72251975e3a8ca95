"""Items that several jobs need, kept on disk for all processes of this machine.

An entry is one file: a line of JSON (`etag`, `size`, `sha256`) and the bytes. It is only a guess: it is served after
the media store confirmed its ETag, and a damaged one counts as absent. So nothing here is synced to disk, and a cache
that can't be written costs time but fails no job.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,256}"')  # RFC 9110, section 8.8.3, without bytes above ASCII
LOCKS = 4096
LOOK_AGAIN_SECONDS = 0.02
HALF_WRITTEN = ".new-"
ABANDONED_AFTER_SECONDS = 3600
MAX_HEAD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Cached:
    """An item as it was when it had this ETag."""

    etag: str
    content: bytes

    def is_named(self, etag: str | None) -> bool:
        """Whether an answer with this ETag, or without one, is about this item (weak comparison)."""
        return etag is None or etag.removeprefix("W/") == self.etag.removeprefix("W/")


class MediaCache:
    """At most about ``max_bytes`` in ``folder``; what was not asked for the longest goes first.

    Safe for several threads and processes at once.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._unswept = max_bytes  # the first entry sweeps: others may have left much
        with _harmless():
            (folder / "locks").mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextlib.contextmanager
    def place(self, url: str, patience: float) -> Iterator["Place"]:
        """The place of the item at ``url``, for nobody else until the block ends.

        Whoever waits longer than ``patience`` seconds for it gets one that keeps nothing.
        """
        key = hashlib.sha256(url.encode()).hexdigest()
        with contextlib.ExitStack() as stack:
            locked = False
            with _harmless():
                locked = stack.enter_context(self._lock(key, patience))
            yield Place(self, self._folder / key if locked else None)

    @contextlib.contextmanager
    def _lock(self, key: str, patience: float) -> Iterator[bool]:
        # A lock file that is removed is no lock; so there is a fixed number of them, and they stay.
        path = self._folder / "locks" / f"{int(key[:8], 16) % LOCKS:03x}"
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb") as file:
            yield _wait_for(file.fileno(), patience)

    def keep(self, path: Path, entry: Cached) -> None:
        """Writes an entry whole or not at all. Raises `OSError`."""
        if len(entry.content) > self._max_bytes:
            return
        head = {"etag": entry.etag, "size": len(entry.content), "sha256": hashlib.sha256(entry.content).hexdigest()}
        descriptor, name = tempfile.mkstemp(prefix=HALF_WRITTEN, dir=self._folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(json.dumps(head).encode() + b"\n")
                file.write(entry.content)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
        self._unswept += len(entry.content)
        if self._unswept > self._max_bytes // 64:
            self._unswept = 0
            self._sweep()

    def _sweep(self) -> None:
        kept, now = 0, time.time()
        for used_at, size, path in sorted(self._files(), reverse=True):
            abandoned = path.name.startswith(HALF_WRITTEN) and used_at < now - ABANDONED_AFTER_SECONDS
            kept += size
            if abandoned or kept > self._max_bytes:
                path.unlink(missing_ok=True)

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process sweeps as well
                found = path.lstat()
                if path.name != "locks":
                    yield found.st_mtime, found.st_size, path


class Place:
    """Room for one item; nothing is kept in it when ``path`` is None."""

    def __init__(self, cache: MediaCache, path: Path | None) -> None:
        self._cache = cache
        self._path = path

    def read(self) -> Cached | None:
        """What was kept here, if it is whole."""
        if self._path is None:
            return None
        try:
            with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                return _parse(file.readline(MAX_HEAD_BYTES), file.read())
        except OSError:
            return None

    def touch(self) -> None:
        """Notes that it was of use."""
        if self._path is not None:
            with _harmless():
                os.utime(self._path)

    def write(self, headers: Mapping[str, str], content: bytes) -> None:
        """Keeps what an answer brought, if it has an ETag and may be kept."""
        etag = headers.get("etag", "")
        keepable = ETAG.fullmatch(etag) and "no-store" not in headers.get("cache-control", "").lower()
        if self._path is not None and keepable:
            with _harmless():
                self._cache.keep(self._path, Cached(etag, content))


def _wait_for(descriptor: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_AGAIN_SECONDS)


def _parse(head: bytes, content: bytes) -> Cached | None:
    try:
        described = json.loads(head)
        etag, size, digest = described["etag"], described["size"], described["sha256"]
    except (ValueError, TypeError, KeyError):
        return None
    whole = size == len(content) and digest == hashlib.sha256(content).hexdigest()
    return Cached(etag, content) if whole and isinstance(etag, str) and ETAG.fullmatch(etag) else None


@contextlib.contextmanager
def _harmless() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        structlog.get_logger().warning("media cache fails", action="media_cache_failed", reason=error.strerror)
