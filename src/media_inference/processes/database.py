"""The database of a process."""

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from media_inference.artifacts.local_store import make_folder
from media_inference.errors import CannotStart, DatabaseUnavailable
from media_inference.queue.engine import open_engine
from media_inference.queue.migrate import database_revision, newest_revision
from media_inference.queue.migrate import migrate as apply_migrations
from media_inference.settings import Settings


def make_data_folder(settings: Settings) -> None:
    """Creates the folder that everything is kept in; raises `CannotStart`."""
    try:
        make_folder(settings.database_dir)
    except OSError as error:
        raise CannotStart(f"DATABASE_DIR: {settings.database_dir} can't be created ({error.strerror})") from None


def open_database(settings: Settings, *, migrate: bool) -> sa.Engine:
    """The database, at the newest revision.

    ``migrate``: bring it there; otherwise an older one is refused. Raises `CannotStart`.
    """
    make_data_folder(settings)
    engine = open_engine(settings.database_url)
    try:
        _bring_to_newest(engine, migrate=migrate)
    except CannotStart:
        engine.dispose()
        raise
    return engine


def _bring_to_newest(engine: sa.Engine, *, migrate: bool) -> None:
    try:
        if migrate:
            apply_migrations(engine)
        elif (found := database_revision(engine)) != newest_revision():
            raise CannotStart(
                f"the database is at revision {found or 'none'}, this release needs {newest_revision()}: "
                "run `media-inference migrate`"
            )
    except (DatabaseUnavailable, SQLAlchemyError) as error:
        reason = getattr(error, "orig", None) or error
        raise CannotStart(f"DATABASE_URL: the database can't be opened ({reason})") from None
