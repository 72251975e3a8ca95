"""The file with the public keys, which may be replaced while the service runs."""

import os
import threading
import time
from pathlib import Path

import structlog

from media_inference.api.key_set import KeySet, read_key_set
from media_inference.errors import CannotStart

_LARGEST_FILE = 64 * 1024
_SETTLED_AFTER_NS = 1_000_000_000
"""A file that changed less than a second ago may change again without a new time: clocks of disks tick slowly."""

_State = tuple[int, int, int, int]

log = structlog.get_logger(__name__)


class KeyFile:
    """The keys in ``path``; safe to use from several threads.

    Raises `CannotStart` when they can't be used at first. A later content that can't be used is logged as an error,
    once, and the keys before it stay.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: _State | None = None
        self._settled = False
        self._look()
        self._content: bytes | None = _read(path)
        self._keys = read_key_set(self._content, path)

    def keys(self) -> KeySet:
        """The keys as the file has them now."""
        with self._lock:
            read_too_early = not self._settled
            if self._look() or read_too_early:
                self._read_again()
            return self._keys

    def _look(self) -> bool:
        """Notes when the file was changed, before it is read: whatever comes later is seen the next time."""
        before, self._seen = self._seen, _state(self._path)
        self._settled = self._seen is None or time.time_ns() - self._seen[0] > _SETTLED_AFTER_NS
        return before != self._seen

    def _read_again(self) -> None:
        content, problem = None, ""
        try:
            content = _read(self._path)
            if content != self._content:
                self._keys = read_key_set(content, self._path)
        except CannotStart as error:
            problem = str(error)
        if content == self._content:
            return
        self._content = content
        if problem:
            log.error("public key unusable, those before stay", action="public_key_unusable", reason=problem)
        else:
            log.info("public key re-read", action="public_key_changed", keys=len(self._keys.keys))


def _state(path: Path) -> _State | None:
    """What differs when a file has changed; the time of its last change comes first, which nobody can set."""
    try:
        status = os.stat(path)  # noqa: PTH116  # each request asks, and this takes half as long
    except OSError:
        return None
    return status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise CannotStart(
            f"PUBLIC_KEY_PATH: {path} can't be read ({os.strerror(error.errno or 0)}): put the ES256 public key of "
            "whoever signs your tokens there, or set AUTH_DISABLED=true to let everybody do all"
        ) from error
    if len(content) > _LARGEST_FILE:
        raise CannotStart(f"PUBLIC_KEY_PATH: {path} is larger than {_LARGEST_FILE // 1024} KiB, so it is no key file")
    return content
