"""The folder of a `LocalStore`, as whoever checks or copies it sees it: what really lies there."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from media_inference.artifacts.local_store import (
    JOB_ID,
    STAGING,
    disk_errors_mapped,
    make_folder,
    sync_folder,
    write_synced,
)


class Shelf:
    """Files by job and by their names in a result. Methods raise `DependencyAway` (``storage``) for a broken disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._staging = folder / STAGING

    def jobs(self) -> Iterator[str]:
        """The jobs that have a folder."""
        with disk_errors_mapped(), os.scandir(self._folder) as entries:
            for entry in entries:
                if JOB_ID.fullmatch(entry.name):
                    yield entry.name

    def has(self, job_id: str) -> bool:
        """Whether a job has a folder."""
        return (self._folder / job_id).exists()

    def sizes(self, job_id: str) -> dict[str, int]:
        """The files of a job with their sizes; none where it has no folder. Anything but a plain file has size -1."""
        sizes: dict[str, int] = {}
        place = self._folder / job_id
        with disk_errors_mapped():
            for folder, _, names in os.walk(place):
                for name in names:
                    path = Path(folder, name)
                    with suppress(FileNotFoundError):  # its job is being deleted
                        found = path.lstat()
                        size = found.st_size if stat.S_ISREG(found.st_mode) else -1
                        sizes[path.relative_to(place).as_posix()] = size
        return sizes

    def path(self, job_id: str, name: str) -> Path:
        """Where a file lies, or would."""
        return self._folder.joinpath(job_id, *name.split("/"))

    def read(self, job_id: str, name: str) -> bytes:
        """A file's content; nothing where it is gone."""
        with disk_errors_mapped():
            try:
                return self.path(job_id, name).read_bytes()
            except FileNotFoundError:
                return b""

    def replace(self, job_id: str, name: str, content: bytes) -> None:
        """Puts a file in place, whole and synced."""
        place, fresh = self.path(job_id, name), self._staging / f"{uuid4()}.fresh"
        with disk_errors_mapped():
            make_folder(place.parent)
            write_synced(fresh, content)
            fresh.replace(place)
            sync_folder(place.parent)

    def remove(self, job_id: str, name: str) -> None:
        """Removes one file."""
        with disk_errors_mapped():
            self.path(job_id, name).unlink(missing_ok=True)

    def staged(self) -> list[str]:
        """What lies in the staging area: names that begin with the lease token of their attempt."""
        with disk_errors_mapped():
            return sorted(path.name for path in self._staging.iterdir()) if self._staging.is_dir() else []

    def remove_staged(self, name: str) -> None:
        """Removes what an attempt left there."""
        path = self._staging / name
        with disk_errors_mapped():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
