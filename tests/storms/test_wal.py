"""The write-ahead log as the power storm reads and tears it, against SQLite itself."""

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from media_inference.queue.engine import sqlite_module
from tests.storms.power import DATABASE, Snapshot, take_snapshot, tears, uncertain
from tests.storms.wal import HEADER, Place, Wal, place_now

ROWS = 30


@contextmanager
def database(folder: Path) -> Iterator[Any]:
    """Opened with a log."""
    folder.mkdir(exist_ok=True)
    with closing(sqlite_module().connect(folder / DATABASE, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        yield connection


def rows(folder: Path) -> int:
    with database(folder) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(connection.execute("SELECT count(*) FROM row").fetchone()[0])


@pytest.fixture
def written(tmp_path: Path) -> Iterator[tuple[Any, Path]]:
    """A database with one transaction that makes a table, and one for each row."""
    with database(tmp_path / "data") as connection:
        connection.execute("CREATE TABLE row (content)")
        for _ in range(ROWS):
            connection.execute("INSERT INTO row VALUES (randomblob(3000))")
        yield connection, tmp_path / "data"


def snapshot_of(folder: Path) -> Snapshot:
    return take_snapshot(folder, Place(b"", 0), [])


def test_a_cut_behind_each_commit_leaves_just_what_was_committed(written: tuple[Any, Path], tmp_path: Path) -> None:
    snapshot = snapshot_of(written[1])
    assert len(snapshot.wal.commits) == ROWS + 1
    torn = next(tears(snapshot, random.Random(1)))  # noqa: S311  # not a secret
    for index, commit in enumerate(snapshot.wal.commits):
        replace(torn, wal=snapshot.wal.content[:commit], index=None).write(tmp_path / "torn")
        assert rows(tmp_path / "torn") == index
        replace(torn, wal=snapshot.wal.content[: commit - 1], index=None).write(tmp_path / "torn-more")
        if index:
            assert rows(tmp_path / "torn-more") == index - 1


def test_every_tear_keeps_all_that_lies_before_it(written: tuple[Any, Path], tmp_path: Path) -> None:
    connection, folder = written
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    for _ in range(ROWS):
        connection.execute("INSERT INTO row VALUES (randomblob(3000))")
    snapshot = snapshot_of(folder)
    assert snapshot.wal.salts != b""
    kinds = set()
    for seed in range(6):
        for torn in tears(snapshot, random.Random(seed)):  # noqa: S311  # not a secret
            torn.write(tmp_path / "torn")
            kept = sum(commit <= torn.kept for commit in snapshot.wal.commits)
            assert rows(tmp_path / "torn") == 2 * ROWS - len(snapshot.wal.commits) + kept, (seed, torn.kind)
            kinds.add(torn.kind)
    assert len(kinds) == 6


def test_a_log_that_begins_anew_is_another_generation(written: tuple[Any, Path]) -> None:
    connection, folder = written
    log = folder / f"{DATABASE}-wal"
    before = place_now(log)
    assert before.end == len(log.read_bytes())
    connection.execute("PRAGMA wal_checkpoint(RESTART)")
    connection.execute("INSERT INTO row VALUES (1)")
    after = place_now(log)
    assert after.salts != before.salts
    assert HEADER < after.end < before.end == len(log.read_bytes())


def test_what_a_checkpoint_copied_counts_as_synced(written: tuple[Any, Path]) -> None:
    connection, folder = written
    assert snapshot_of(folder).floor == HEADER
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    assert snapshot_of(folder).floor == place_now(folder / f"{DATABASE}-wal").end


def test_only_the_last_transaction_is_uncertain(written: tuple[Any, Path]) -> None:
    _, folder = written
    content = (folder / f"{DATABASE}-wal").read_bytes()
    whole = Wal(content)
    assert uncertain(whole) == whole.commits[-2]
    begun = Wal(content[: whole.commits[-1]] + content[HEADER : whole.frames[0].end])
    assert begun.place.end > whole.place.end
    assert uncertain(begun) == whole.commits[-1]
    assert uncertain(Wal(b"")) == HEADER
