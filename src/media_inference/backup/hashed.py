"""Files that are copied, and what their bytes hash to."""

import errno
import hashlib
import os
import shutil
from pathlib import Path

_CHUNK = 1 << 20
_CAN_NOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP}


def link_or_copy(source: Path, target: Path) -> str:
    """Puts the same file there: a hard link on the same file system, else a synced copy. Returns its SHA-256.

    The files of the service are never changed in place, so a link keeps what it was made from.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in _CAN_NOT_LINK:
            raise
        return copy(source, target)
    return hash_of(target)


def copy(source: Path, target: Path) -> str:
    """Writes a synced copy, with the same mode; returns the SHA-256 of what was read."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)  # it may be a private key
    with os.fdopen(descriptor, "wb") as writer, source.open("rb") as reader:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    shutil.copymode(source, target)
    return digest.hexdigest()


def hash_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_tree(folder: Path) -> None:
    """Makes all names below a folder, and its own, durable."""
    for path in (*(Path(inner) for inner, _, _ in os.walk(folder)), folder.parent):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
