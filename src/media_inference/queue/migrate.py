"""Brings the database to the newest revision."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from media_inference.errors import CannotStart
from media_inference.queue.engine import reading, writing


def migrate(engine: sa.Engine, to: str = "head") -> str:
    """Applies what is missing up to ``to``, all of it or nothing, and returns the newest revision.

    Raises `CannotStart` when the database is of a newer release than this one.
    """
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    with writing(engine) as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
            raise CannotStart(
                f"the database has revision {current}, which this release does not know: "
                "start the newer release again, or restore a backup made with this one"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, to)
    # The driver keeps the statements that were used most: once the migrations' fill its hundred places, all others of
    # this connection share the last one, and each of them would be compiled anew each time.
    engine.dispose()
    return newest_revision()


def newest_revision() -> str:
    """The revision that this release needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def database_revision(engine: sa.Engine) -> str | None:
    """The revision that the database has; None before the first migration. Raises `DatabaseUnavailable`."""
    with reading(engine) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
