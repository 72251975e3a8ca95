"""Files of results in a folder of this machine.

::

    {folder}/{job_id}/embedding.bin, faces/0.jpg …    what `path` shows
    {folder}/.staging/{attempt}/…                     what an attempt wrote, out of sight until `promote`
"""

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from media_inference.artifacts.store import StagedArtifacts
from media_inference.errors import CannotStart, Dependency, DependencyAway, ErrorCode
from media_inference.failpoints import Failpoint, failpoint
from media_inference.jobs.outcome import Artifact
from media_inference.room import no_room

STAGING = ".staging"  # no job_id begins with a dot
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
JOB_ID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
_JOBS_PER_QUESTION = 500


class LocalStore:
    """Implements `ArtifactStore` in ``folder``. Raises `CannotStart` when the folder can't be made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._staging = folder / STAGING
        try:
            make_folder(self._staging)
        except OSError as error:
            raise CannotStart(f"the folder {folder} for result files can't be written: {error.strerror}") from error

    def stage(self, job_id: str, attempt: str, artifacts: Sequence[Artifact]) -> StagedArtifacts:
        """Writes the files of one attempt out of sight, fsynced; ``attempt`` is the lease token.

        Raises `ValueError` for a name that is not a plain relative path.
        """
        place, staged = self._folder / _checked(job_id), self._staging / _checked(attempt)
        files = [(staged.joinpath(*_parts(artifact.name)), artifact.content) for artifact in artifacts]
        with disk_errors_mapped(), _removed_on_error(staged):
            for path, content in files:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_synced(path, content)
            for folder, _, _ in os.walk(staged):
                sync_folder(Path(folder))
        return _Staged(staged, place, sum(len(content) for _, content in files))

    def path(self, job_id: str, name: str) -> Path | None:
        """Where a job's file lies, or None when there is no regular file of that name below the job's folder."""
        parts = [job_id, *name.split("/")]
        if not all(_NAME.fullmatch(part) for part in parts):
            return None
        path = self._folder.joinpath(*parts)
        # A link on the way would lead out of the folder: only a path that is its own real path is shown.
        real = self._folder.resolve().joinpath(*parts)
        return path if path.is_file() and path.resolve() == real else None

    def remove(self, job_id: str) -> tuple[int, int]:
        """Removes a job's files; returns (files, bytes)."""
        place, gone = self._folder / _checked(job_id), self._staging / f"{uuid4()}.removed"
        with disk_errors_mapped():
            sizes = _sizes(place)
            try:
                place.rename(gone)
            except FileNotFoundError:
                return 0, 0
            sync_folder(self._folder)
            shutil.rmtree(gone, ignore_errors=True)  # what stays behind is swept later
        return len(sizes), sum(sizes)

    def sweep(self, older_than_seconds: float, exists: Callable[[list[str]], set[str]]) -> int:
        """Removes what a crash left: stale staging folders, and folders of jobs that are no more. Returns how many.

        ``exists`` tells which of the given job ids have a row. Young folders are left alone: their row may be on its
        way. So is whatever does not have a UUID for its name: it is not ours.
        """
        with disk_errors_mapped():
            stale = _older(self._staging, older_than_seconds)
            for path in stale:
                _remove_any(path)
            jobs = [path.name for path in _older(self._folder, older_than_seconds) if JOB_ID.fullmatch(path.name)]
        existing = _existing(jobs, exists)
        orphans = [job_id for job_id in jobs if job_id not in existing]
        for job_id in orphans:
            failpoint(Failpoint.SWEEP_BEFORE_REMOVE, job_id)
            self.remove(job_id)
            failpoint(Failpoint.SWEEP_AFTER_REMOVE, job_id)
        return len(stale) + len(orphans)

    def check(self) -> None:
        """Raises when the folder can't be written."""
        probe = self._staging / f"{uuid4()}.check"
        with disk_errors_mapped():
            try:
                write_synced(probe, b"writable")
            finally:
                probe.unlink(missing_ok=True)


class _Staged:
    """Implements `StagedArtifacts`: ``staged`` becomes ``place``."""

    def __init__(self, staged: Path, place: Path, size: int) -> None:
        self.size = size
        self._staged = staged
        self._place = place

    def promote(self) -> None:
        """Makes them the job's files, in place of any older ones."""
        older = self._staged.with_name(self._staged.name + ".older")
        with disk_errors_mapped():
            if self._place.exists():
                self._place.rename(older)
            if self._staged.exists():
                self._staged.rename(self._place)
            sync_folder(self._place.parent)
            shutil.rmtree(older, ignore_errors=True)  # what stays behind is swept later

    def discard(self) -> None:
        """Removes what was staged; does nothing after `promote`."""
        shutil.rmtree(self._staged, ignore_errors=True)


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} can't be a part of a file's path")
    return name


def _parts(name: str) -> list[str]:
    return [_checked(part) for part in name.split("/")]


def write_synced(path: Path, content: bytes) -> None:
    """Writes a new file, on disk on return."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it that are missing; their names are on disk on return."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_any(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sizes(folder: Path) -> list[int]:
    return [path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()]


def _older(folder: Path, seconds: float) -> list[Path]:
    before = time.time() - seconds
    older = []
    for path in folder.iterdir():
        try:
            if path.lstat().st_mtime <= before:
                older.append(path)
        except FileNotFoundError:  # promoted or removed while we looked
            continue
    return older


def _existing(job_ids: list[str], exists: Callable[[list[str]], set[str]]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(job_ids), _JOBS_PER_QUESTION):
        found |= exists(job_ids[start : start + _JOBS_PER_QUESTION])
    return found


@contextmanager
def _removed_on_error(staged: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        shutil.rmtree(staged, ignore_errors=True)
        raise


@contextmanager
def disk_errors_mapped() -> Iterator[None]:
    """Every error of the disk is `storage_full`, the only code a client knows for it; the message tells them apart.

    None is the fault of a job: whatever the disk refuses now, it would refuse the next one too.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_room("result files") from error
        message = "result files can't be written now"
        raise DependencyAway(Dependency.STORAGE, ErrorCode.STORAGE_FULL, message) from error
