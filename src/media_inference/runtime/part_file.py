"""What is there of a file that is being downloaded."""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from media_inference.runtime.weights import sha256_of


class PartFile:
    """Lies beside the file under a name with the hash that is wanted, so that another file is never continued."""

    def __init__(self, path: Path, sha256: str) -> None:
        self._target = path
        self._path = path.with_name(f"{path.name}.{sha256}.part")

    @property
    def size(self) -> int:
        """Its bytes, 0 when it is not there."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def sha256(self) -> str | None:
        """The hash of what is there."""
        return sha256_of(self._path)

    @property
    def room(self) -> int:
        """Bytes that are free on its disk."""
        return shutil.disk_usage(self._path.parent).free

    def append(self, chunks: Iterable[bytes]) -> Iterator[int]:
        """Adds the chunks and yields its size after each, which is then safe from the death of this process."""
        with self._path.open("ab") as file:
            for chunk in chunks:
                file.write(chunk)
                file.flush()
                yield file.tell()

    def remove(self) -> None:
        """Begins anew."""
        self._path.unlink(missing_ok=True)

    def promote(self) -> None:
        """Puts it in the place of the file, durably, and removes what earlier downloads of that file left."""
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
        self._path.replace(self._target)
        for stale in self._target.parent.iterdir():
            if stale.name.endswith(".part") and stale.name.lstrip(".").startswith(f"{self._target.name}."):
                stale.unlink(missing_ok=True)
        folder = os.open(self._target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
