"""A backup of a service that goes on working.

The database is copied first, as it is at one moment; then the files of the jobs that are settled in that copy. They
were put in place before their job was settled, and are never changed afterwards. A job that is deleted meanwhile is
deleted from the copy too. Vectors are not copied: the database has them.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from media_inference.artifacts.local_store import write_synced
from media_inference.artifacts.shelf import Shelf
from media_inference.backup.hashed import hash_of, link_or_copy, sync_tree
from media_inference.backup.manifest import DATABASE, JOBS, KEYS, MANIFEST, MEDIA, SUMS, Manifest
from media_inference.backup.places import Places
from media_inference.errors import CannotStart
from media_inference.file_lock import hold_folder
from media_inference.queue.inventory import SettledJob
from media_inference.queue.snapshot import DatabaseCopy, LiveDatabase, opened_copy

_HIDDEN = "."  # no media_store_id begins with a dot: an upload that is not finished does


class BackupWriter:
    """Writes one backup. ``clock``: milliseconds since 1970 UTC."""

    def __init__(self, database: LiveDatabase, places: Places, version: str, clock: Callable[[], int]) -> None:
        self._database = database
        self._places = places
        self._version = version
        self._clock = clock
        self._files = self._media = self._bytes = 0

    def write(self, target: Path) -> Manifest:
        """Leaves a whole backup in the new folder ``target``, or nothing.

        Raises `CannotStart` when there is something already, `DatabaseUnavailable`, and `OSError` as the disk does.
        """
        with _partial(target) as folder:
            began = self._clock()
            self._database.copy(folder / DATABASE)
            with (folder / SUMS).open("x", encoding="utf-8") as sums:
                with opened_copy(folder / DATABASE) as copied:
                    self._add_jobs(copied, folder, sums)
                    jobs, revision = copied.jobs(), copied.revision()
                self._add_media(folder, sums)
                self._add_keys(folder, sums)
                self._note(folder, folder / DATABASE, hash_of(folder / DATABASE), sums)
                sums.flush()
                os.fsync(sums.fileno())
            manifest = Manifest(
                version=self._version,
                revision=revision,
                created_at=began,
                jobs=jobs,
                files=self._files,
                media=self._media,
                bytes=self._bytes,
                sums=hash_of(folder / SUMS),
            )
            write_synced(folder / MANIFEST, f"{manifest.model_dump_json(indent=2)}\n".encode())
        return manifest

    def _add_jobs(self, copied: DatabaseCopy, folder: Path, sums: TextIO) -> None:
        shelf = Shelf(self._places.jobs)
        for page in copied.inventory.settled_jobs():
            for job in page:
                if job.files and not self._add_job(shelf, job, folder, sums):
                    copied.delete(job.job_id)

    def _add_job(self, shelf: Shelf, job: SettledJob, folder: Path, sums: TextIO) -> bool:
        """False when the job is deleted and its files are gone; the other files that are missing an audit finds."""
        place = folder / JOBS / job.job_id
        added = list(_copied(shelf, job.job_id, place))
        if len(added) < job.files and not self._database.has(job.job_id):
            shutil.rmtree(place, ignore_errors=True)
            return False
        for path, digest in added:
            self._note(folder, path, digest, sums)
        self._files += len(added)
        return True

    def _add_media(self, folder: Path, sums: TextIO) -> None:
        (folder / MEDIA).mkdir()
        for source in self._places.media.iterdir() if self._places.media is not None else ():
            if source.is_file() and not source.name.startswith(_HIDDEN):
                target = folder / MEDIA / source.name
                self._note(folder, target, link_or_copy(source, target), sums)
                self._media += 1

    def _add_keys(self, folder: Path, sums: TextIO) -> None:
        for source in self._places.keys:
            if source.is_file():
                target = folder / KEYS / source.name
                self._note(folder, target, link_or_copy(source, target), sums)

    def _note(self, folder: Path, path: Path, digest: str, sums: TextIO) -> None:
        sums.write(f"{digest}  {path.relative_to(folder).as_posix()}\n")
        self._bytes += path.stat().st_size


def _copied(shelf: Shelf, job_id: str, place: Path) -> Iterator[tuple[Path, str]]:
    """The files of a job that are there, with their hashes."""
    for name in shelf.sizes(job_id):
        with suppress(FileNotFoundError):
            yield place / name, link_or_copy(shelf.path(job_id, name), place / name)


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """A folder that takes the name ``target`` when the block ends well, and is removed when it does not."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CannotStart(f"{target} is there already: name a new folder for the backup")
    folder = target.with_name(f".{target.name}.partial")
    with hold_folder(folder):
        for left in folder.iterdir():  # of a backup that was killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            yield folder
            sync_tree(folder)
            folder.rename(target)
            sync_tree(target)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
