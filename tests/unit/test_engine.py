"""Connections are kept between transactions, and closed with their engine."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.queue.engine import open_engine, reading, writing
from tests.stands.open_files import open_files


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/test.db")
    with writing(engine) as tx:
        tx.exec_driver_sql("CREATE TABLE numbers (number INTEGER)")
    yield engine
    engine.dispose()


def numbers(engine: sa.Engine) -> list[int]:
    with reading(engine) as tx:
        return [*tx.exec_driver_sql("SELECT number FROM numbers ORDER BY 1").scalars()]


def driver(tx: sa.Connection) -> object:
    return tx.connection.driver_connection


def test_the_next_transaction_has_the_same_connection(engine: sa.Engine) -> None:
    with writing(engine) as first:
        connection = driver(first)
    with writing(engine) as second:
        assert driver(second) is connection


def test_who_reads_waits_for_no_writer(engine: sa.Engine) -> None:
    with writing(engine) as tx:
        tx.exec_driver_sql("INSERT INTO numbers VALUES (1)")
        assert numbers(engine) == []
    assert numbers(engine) == [1]


def test_a_transaction_that_failed_leaves_nothing_to_the_next_one(engine: sa.Engine) -> None:
    with suppress(ZeroDivisionError), writing(engine) as tx:
        tx.exec_driver_sql("INSERT INTO numbers VALUES (1)")
        raise ZeroDivisionError
    with writing(engine) as tx:
        tx.exec_driver_sql("INSERT INTO numbers VALUES (2)")
    assert numbers(engine) == [2]


def test_rows_that_nobody_fetched_hold_up_nobody(engine: sa.Engine) -> None:
    with writing(engine) as tx:
        tx.exec_driver_sql("INSERT INTO numbers VALUES (1), (2), (3)")
    for _ in range(3):
        with reading(engine) as tx:
            tx.exec_driver_sql("SELECT number FROM numbers").fetchone()
    with writing(engine) as tx:
        tx.exec_driver_sql("DROP TABLE numbers")  # refused while a statement reads it
    with engine.connect() as connection:
        busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    assert busy == 0


def test_threads_share_none(engine: sa.Engine) -> None:
    def add(first: int) -> None:
        for number in range(first, first + 20):
            with writing(engine) as tx:
                tx.exec_driver_sql("INSERT INTO numbers VALUES (?)", (number,))
            assert number in numbers(engine)

    threads = [threading.Thread(target=add, args=(20 * place,)) for place in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(engine) == [*range(240)]


def test_they_are_closed_with_the_engine_which_may_be_used_again(engine: sa.Engine, tmp_path: Path) -> None:
    assert numbers(engine) == []
    assert open_files(tmp_path)
    engine.dispose()
    assert not open_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["test.db"]  # the last one took the log with it
    assert numbers(engine) == []


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("transaction", [reading, writing])
def test_one_that_is_given_back_late_is_closed(
    engine: sa.Engine,
    tmp_path: Path,
    transaction: Callable[[sa.Engine], AbstractContextManager[sa.Connection]],
    fails: bool,
) -> None:
    with suppress(ZeroDivisionError), transaction(engine):
        engine.dispose()
        assert open_files(tmp_path)
        if fails:
            raise ZeroDivisionError
    assert not open_files(tmp_path)
    assert numbers(engine) == []


def test_more_than_are_kept_are_closed_late_too(engine: sa.Engine, tmp_path: Path) -> None:
    with ExitStack() as transactions:
        for _ in range(12):
            transactions.enter_context(reading(engine))
        engine.dispose()
    assert not open_files(tmp_path)


def test_an_engine_that_nobody_disposed_of_is_collected(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/test.db")
    with writing(engine):
        assert open_files(tmp_path)
    left, pool = weakref.ref(engine), engine.pool
    del engine
    gc.collect()
    assert left() is None
    pool.dispose()  # what was kept came back here
    assert not open_files(tmp_path)


def test_an_engine_from_elsewhere_is_refused() -> None:
    with pytest.raises(TypeError, match="was not opened by `open_engine`"), reading(sa.create_engine("sqlite://")):
        pass
