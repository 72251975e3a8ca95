"""What many units need around them: a database of today's tables."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.queue.engine import open_engine
from media_inference.queue.migrate import migrate


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """An engine for a new database."""
    engine = open_engine(f"sqlite:///{tmp_path}/test.db")
    migrate(engine)
    yield engine
    engine.dispose()
