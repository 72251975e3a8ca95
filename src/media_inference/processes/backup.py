"""Backs a service up, and brings it back."""

import json
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import sqlalchemy as sa

from media_inference import __version__
from media_inference.audit.rebuild import rebuild_points
from media_inference.backup.manifest import Manifest
from media_inference.backup.places import Places
from media_inference.backup.restore import restore
from media_inference.backup.write import BackupWriter
from media_inference.errors import CannotStart, DatabaseUnavailable, TransientError
from media_inference.processes.database import make_data_folder, open_database
from media_inference.processes.publishing import sole_publisher
from media_inference.processes.rooms import database_file
from media_inference.processes.vectors import open_vectors
from media_inference.queue.clock import wall_clock
from media_inference.queue.engine import open_engine
from media_inference.queue.inventory import Inventory
from media_inference.queue.snapshot import LiveDatabase
from media_inference.settings import Settings
from media_inference.vectors.store import COLLECTIONS, VectorStore


def run_backup(settings: Settings, target: Path, *, as_json: bool) -> int:
    """Writes a backup while the service goes on; returns the exit code. Raises `CannotStart`."""
    engine = open_database(settings, migrate=False)
    writer = BackupWriter(LiveDatabase(engine), _places(settings, engine), __version__, wall_clock)
    try:
        manifest = writer.write(target)
    except BlockingIOError:
        raise CannotStart(f"another backup is being written to {target}: wait for it") from None
    except OSError as error:
        return _failed(f"the backup could not be written to {target}: {error.strerror}")
    except (DatabaseUnavailable, TransientError) as error:
        return _failed(f"the backup could not be made: {error}")
    finally:
        engine.dispose()
    _print({"backup": str(target), **_counts(manifest)}, as_json=as_json)
    return 0


def run_restore(settings: Settings, backup: Path, *, as_json: bool) -> int:
    """Brings a backup back into the places of the settings; returns the exit code. Raises `CannotStart`."""
    make_data_folder(settings)
    engine = open_engine(settings.database_url)
    places, points = _places(settings, engine), 0

    def rebuild(restored: Inventory) -> None:
        nonlocal points
        _say("making the vectors")
        points = _into_empty_store(settings, restored)

    try:
        with sole_publisher(places.database):
            manifest = restore(backup, places, rebuild)
    except OSError as error:
        return _failed(f"the backup could not be brought back: {error.strerror}")
    except TransientError as error:
        return _failed(f"the vectors could not be made: {error.message}")
    _print({"restored": str(settings.database_dir), **_counts(manifest), "points": points}, as_json=as_json)
    return 0


def _into_empty_store(settings: Settings, restored: Inventory) -> int:
    with ExitStack() as cleanup:
        vectors = open_vectors(settings)
        cleanup.callback(vectors.close)
        if any(vectors.count(collection) for collection in COLLECTIONS):
            where = settings.qdrant_url or settings.qdrant_dir
            raise CannotStart(f"the vector store {where} has points already: restore with an empty one")
        try:
            return rebuild_points(restored, vectors)
        except BaseException:
            _empty(vectors)
            raise


def _empty(vectors: VectorStore) -> None:
    with suppress(TransientError):
        for collection in COLLECTIONS:
            for page in vectors.scroll(collection):
                vectors.delete(collection, [point.id for point in page])


def _counts(manifest: Manifest) -> dict[str, object]:
    return {name: getattr(manifest, name) for name in ("revision", "jobs", "files", "media", "bytes")}


def _print(result: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result, indent=2))  # noqa: T201  # the result
        return
    for name, value in result.items():
        print(f"{name:<10}{value:,}" if isinstance(value, int) else f"{name:<10}{value}")  # noqa: T201  # 〃


def _failed(reason: str) -> int:
    _say(f"media-inference: {reason}")
    return 1


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201  # for the operator


def _places(settings: Settings, engine: sa.Engine) -> Places:
    built_in = settings.media_store_url is None and not settings.media_store_stub
    return Places(
        database=database_file(engine),
        jobs=settings.storage_dir,
        media=settings.media_dir if built_in else None,
        keys=(settings.database_dir / "public_key.pem", settings.private_key_path),
    )
