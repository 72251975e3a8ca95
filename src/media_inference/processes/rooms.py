"""The disks that must have room left."""

from pathlib import Path

import sqlalchemy as sa

from media_inference.room import Room
from media_inference.settings import Settings


def rooms_to_work(settings: Settings, engine: sa.Engine) -> list[Room]:
    """What a worker writes to. The folders must be there."""
    return [
        Room(database_file(engine).parent, "the database", settings.min_free_bytes),
        Room(settings.storage_dir, "result files", settings.min_free_bytes),
    ]


def rooms_to_accept(settings: Settings, engine: sa.Engine) -> list[Room]:
    """What a new job or photo will need. The folders must be there."""
    rooms = rooms_to_work(settings, engine)
    if settings.qdrant_url is None:
        rooms.append(Room(settings.qdrant_dir, "vectors", settings.min_free_bytes))
    if settings.media_store_url is None and not settings.media_store_stub:
        rooms.append(Room(settings.media_dir, "photos", settings.min_free_bytes))
    return rooms


def database_file(engine: sa.Engine) -> Path:
    """Where the database lies."""
    return Path(engine.url.database or "").absolute()
