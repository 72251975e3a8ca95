"""A database that is refused stays open for nobody."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.errors import CannotStart
from media_inference.processes.database import open_database
from media_inference.queue.engine import writing
from media_inference.settings import Settings, load_settings
from tests.stands.open_files import open_files


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(_env_file=None, database_dir=tmp_path / "data")


def test_one_without_tables_is_refused_and_closed(settings: Settings) -> None:
    with pytest.raises(CannotStart, match="revision none"):
        open_database(settings, migrate=False)
    assert not open_files(settings.database_dir)


def test_one_of_a_newer_release_is_refused_and_closed(settings: Settings) -> None:
    engine = open_database(settings, migrate=True)
    with writing(engine) as tx:
        tx.execute(sa.text("UPDATE alembic_version SET version_num = 'newer'"))
    engine.dispose()
    with pytest.raises(CannotStart, match="this release does not know"):
        open_database(settings, migrate=True)
    assert not open_files(settings.database_dir)


def test_one_that_is_none_is_refused_and_closed(settings: Settings) -> None:
    settings.database_dir.mkdir()
    (settings.database_dir / "inference.db").write_bytes(b"no database " * 1000)
    with pytest.raises(CannotStart, match="can't be opened"):
        open_database(settings, migrate=True)
    assert not open_files(settings.database_dir)
