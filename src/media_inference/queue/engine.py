"""Opens the database and its transactions."""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DatabaseError, DataError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from media_inference.errors import CannotStart, DatabaseFull, DatabaseUnavailable
from media_inference.queue.driver import fetch

# https://www.sqlite.org/wal.html#walresetbug: earlier versions can corrupt a WAL database that several processes write.
_WAL_IS_SAFE = (3, 51, 3)
_WAL_IS_SAFE_TOO = ((3, 44, 6), (3, 50, 7))

BUSY_TIMEOUT_MS = 10_000

_READ, _WRITE = "DEFERRED", "IMMEDIATE"
_MOST_KEPT = 8


class _Kept:
    """The connections of an engine between two transactions that begin with ``begin``.

    The way into the pool and out of it takes four times as long as an empty transaction does.
    """

    def __init__(self, begin: str) -> None:
        self._begin = begin
        self._home: list[sa.Connection] = []

    def take(self, engine: sa.Engine) -> tuple[sa.Connection, list[sa.Connection]]:
        """A connection, and the list that it belongs to."""
        home = self._home
        try:
            return home.pop(), home
        except IndexError:
            return engine.connect().execution_options(sqlite_begin=self._begin), home

    def give_back(self, connection: sa.Connection, home: list[sa.Connection]) -> None:
        """Keeps it for the next transaction, if there are not enough and the engine was not disposed of meanwhile."""
        if len(home) >= _MOST_KEPT:
            self.let_go(connection, home)
            return
        home.append(connection)
        if home is not self._home:  # asked afterwards: whoever disposes of the engine may come in between
            _close_all(home)

    def let_go(self, connection: sa.Connection, home: list[sa.Connection]) -> None:
        """Gives it to the pool, or closes it if that was disposed of meanwhile."""
        if home is not self._home and not connection.invalidated:
            connection.detach()
        connection.close()

    def close(self) -> None:
        """Closes those that wait here, and later those that are out."""
        closed, self._home = self._home, []
        _close_all(closed)


def _close_all(connections: list[sa.Connection]) -> None:
    while True:
        try:
            connection = connections.pop()
        except IndexError:
            return
        connection.detach()  # else it would go back into the pool that was disposed of
        connection.close()


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
    pooled = sa.create_engine(
        parsed, module=module, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, pool_size=16, max_overflow=32
    )
    journal = "WAL" if wal_is_safe(module.sqlite_version_info) else "TRUNCATE"

    @sa.event.listens_for(pooled, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `_begin` does
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            f"journal_mode={journal}",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(pooled, "begin")
    def _begin(connection: sa.Connection) -> None:
        fetch(connection, "BEGIN " + connection.get_execution_options().get("sqlite_begin", _READ))

    return _keeping(pooled)


def _keeping(pooled: sa.Engine) -> sa.Engine:
    """An engine for the same pool that keeps connections between transactions.

    ``pooled`` itself must not: while a connection is out, SQLAlchemy holds its pool, and that holds ``pooled``.
    """
    kept = {begin: _Kept(begin) for begin in (_READ, _WRITE)}
    engine = pooled.execution_options(kept=kept)

    @sa.event.listens_for(engine, "engine_disposed")
    def _close_kept(_engine: sa.Engine) -> None:
        for each in kept.values():
            each.close()

    return engine


def writing(engine: sa.Engine) -> AbstractContextManager[sa.Connection]:
    """One writing transaction; it takes the write lock first, so that what it reads can't change before it writes.

    Raises `DatabaseUnavailable`; `DatabaseFull` when there is no room.
    """
    return _transaction(engine, _WRITE)


def reading(engine: sa.Engine) -> AbstractContextManager[sa.Connection]:
    """One consistent view of the database. Raises `DatabaseUnavailable`."""
    return _transaction(engine, _READ)


@contextmanager
def _transaction(engine: sa.Engine, begin: str) -> Iterator[sa.Connection]:
    """A connection whose transaction failed goes back into the pool, which rolls it back."""
    every: dict[str, _Kept] | None = engine.get_execution_options().get("kept")
    if every is None:
        raise TypeError(f"{engine} was not opened by `open_engine`")
    kept = every[begin]
    with _errors_mapped():
        connection, home = kept.take(engine)
        try:
            with connection.begin():
                yield connection
        except BaseException:
            kept.let_go(connection, home)
            raise
        kept.give_back(connection, home)


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
