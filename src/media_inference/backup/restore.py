"""A backup -> the data folder of a service that has not been started yet.

The database comes last, under its own name only when everything else is there: what a crash leaves is no service.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from media_inference.backup.hashed import copy, sync_tree
from media_inference.backup.manifest import (
    DATABASE,
    JOBS,
    KEYS,
    MANIFEST,
    MEDIA,
    SUMS,
    Manifest,
    damaged,
    read_manifest,
)
from media_inference.backup.places import Places
from media_inference.errors import CannotStart, DatabaseUnavailable
from media_inference.queue.inventory import Inventory
from media_inference.queue.snapshot import opened_copy

_NOT_YET = ".restoring"

Rebuild = Callable[[Inventory], None]
"""Makes the vectors of a restored database."""


def restore(backup: Path, places: Places, rebuild: Rebuild) -> Manifest:
    """Brings back what a backup holds into places that are empty, or changes nothing.

    Raises `CannotStart` when a place is not empty or the
    backup is damaged, and `OSError` as the disk does.
    """
    manifest = read_manifest(backup)
    hashes = _read_hashes(backup, manifest)
    _refuse_what_is_there(places)
    with _undone_on_error(places) as database:
        for name, digest in hashes.items():
            target = database if name == DATABASE else _target(places, name)
            if target is not None and _copied(backup, name, target) != digest:
                raise damaged(backup, name)
        _make_current(backup, manifest, database, rebuild)
        for folder in (places.jobs, places.media):
            if folder is not None and folder.exists():
                sync_tree(folder)
        database.rename(places.database)
        sync_tree(places.database.parent)
    return manifest


def _make_current(backup: Path, manifest: Manifest, database: Path, rebuild: Rebuild) -> None:
    try:
        with opened_copy(database) as copied:
            if (copied.revision(), copied.jobs()) != (manifest.revision, manifest.jobs):
                raise damaged(backup, MANIFEST)
            copied.make_current()
            rebuild(copied.inventory)
    except DatabaseUnavailable as error:
        raise damaged(backup, DATABASE) from error


def _read_hashes(backup: Path, manifest: Manifest) -> dict[str, str]:
    """SHA-256 by name, as relative paths of the backup."""
    try:
        listed = (backup / SUMS).read_bytes()
    except OSError:
        raise damaged(backup, SUMS) from None
    if hashlib.sha256(listed).hexdigest() != manifest.sums:
        raise damaged(backup, SUMS)
    lines = (line.split("  ", 1) for line in listed.decode("utf-8").splitlines())
    hashes = {name: digest for digest, name in lines}
    counted = [sum(name.startswith(f"{folder}/") for name in hashes) for folder in (JOBS, MEDIA)]
    if counted != [manifest.files, manifest.media] or DATABASE not in hashes:
        raise damaged(backup, SUMS)
    return hashes


def _target(places: Places, name: str) -> Path | None:
    """Where a file of the backup belongs; None where this service has no place for it."""
    kind, *rest = PurePosixPath(name).parts
    if not rest or ".." in rest:
        return None
    if kind == KEYS:
        return next((key for key in places.keys if key.name == rest[0]), None)
    folder = {JOBS: places.jobs, MEDIA: places.media}.get(kind)
    return None if folder is None else folder.joinpath(*rest)


def _copied(backup: Path, name: str, target: Path) -> str | None:
    try:
        return copy(backup / name, target)
    except FileNotFoundError:
        return None


def _refuse_what_is_there(places: Places) -> None:
    folders = [folder for folder in (places.jobs, places.media) if folder is not None]
    full = [path for path in (places.database, *places.keys) if path.exists()]
    full += [folder for folder in folders if folder.exists() and any(folder.iterdir())]
    if full:
        raise CannotStart(f"{full[0]} is there already: restore into an empty folder, with --into or DATABASE_DIR")


@contextmanager
def _undone_on_error(places: Places) -> Iterator[Path]:
    """Yields where the database is made; removes everything that was brought back when the block fails."""
    database = places.database.with_name(places.database.name + _NOT_YET)
    database.parent.mkdir(parents=True, exist_ok=True)
    database.unlink(missing_ok=True)
    try:
        yield database
    except BaseException:
        for folder in (places.jobs, places.media):
            for path in folder.iterdir() if folder is not None and folder.exists() else ():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in (*database.parent.glob(f"{database.name}*"), *places.keys):
            path.unlink(missing_ok=True)
        raise
