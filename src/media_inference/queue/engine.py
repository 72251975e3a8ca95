"""Opens the database and its transactions."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DatabaseError, DataError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from media_inference.errors import CannotStart, DatabaseFull, DatabaseUnavailable

# https://www.sqlite.org/wal.html#walresetbug: earlier versions can corrupt a WAL database that several processes write.
_WAL_IS_SAFE = (3, 51, 3)
_WAL_IS_SAFE_TOO = ((3, 44, 6), (3, 50, 7))

BUSY_TIMEOUT_MS = 10_000


def sqlite_module() -> ModuleType:
    """The newest SQLite at hand: `pysqlite3` brings its own, the standard library's may be older."""
    try:
        import pysqlite3  # noqa: PLC0415  # not built for every platform
    except ImportError:
        return sqlite3
    return pysqlite3  # type: ignore[no-any-return]  # the package has no types


def wal_is_safe(version: tuple[int, ...]) -> bool:
    """Whether a SQLite version may use WAL with several writing processes."""
    return version >= _WAL_IS_SAFE or version in _WAL_IS_SAFE_TOO


def open_engine(url: str) -> sa.Engine:
    """An engine for ``sqlite:///path``.

    Raises `CannotStart` when the address isn't one of a database that this service can use.
    """
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        raise CannotStart(f"DATABASE_URL: expected sqlite:///path, got {url!r}") from None
    if parsed.get_backend_name() != "sqlite":
        raise CannotStart(f"DATABASE_URL: expected sqlite:///path, got a {parsed.get_backend_name()} address")
    if parsed.database in {None, "", ":memory:"}:
        raise CannotStart(f"DATABASE_URL: expected sqlite:///path, got {url!r}: a database in memory can't be shared")
    module = sqlite_module()
    engine = sa.create_engine(
        parsed, module=module, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, pool_size=16, max_overflow=32
    )
    journal = "WAL" if wal_is_safe(module.sqlite_version_info) else "TRUNCATE"

    @sa.event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `_begin` does
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            f"journal_mode={journal}",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN " + connection.get_execution_options().get("sqlite_begin", "DEFERRED"))

    return engine


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One writing transaction; it takes the write lock first, so that what it reads can't change before it writes.

    Raises `DatabaseUnavailable`; `DatabaseFull` when there is no room.
    """
    with (
        _errors_mapped(),
        engine.connect().execution_options(sqlite_begin="IMMEDIATE") as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One consistent view of the database. Raises `DatabaseUnavailable`."""
    with _errors_mapped(), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def _errors_mapped() -> Iterator[None]:
    try:
        yield
    except (DataError, IntegrityError, ProgrammingError):
        raise  # our own mistake: asking again would end the same way
    except DatabaseError as error:
        raise (DatabaseFull() if _is_out_of_room(error) else DatabaseUnavailable(str(error.orig))) from error
    except PoolTimeout as error:
        raise DatabaseUnavailable("all connections are in use") from error


def _is_out_of_room(error: DatabaseError) -> bool:
    return getattr(error.orig, "sqlite_errorname", "") == "SQLITE_FULL" or "disk is full" in str(error.orig)
