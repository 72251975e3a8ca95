"""Statements that go to the driver as they are written, past SQLAlchemy.

For those of which each job needs some: around each, SQLAlchemy takes ten times as long as SQLite takes for it. They are
part of the same transaction, and their errors are SQLAlchemy's.

Those that change several rows, or set off triggers, say "OR FAIL": an error ends the whole transaction anyway, so
SQLite need not copy each page before it changes it, to take back the one statement.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from pydantic_core import to_json
from sqlalchemy.exc import DBAPIError

Value = str | int | float | bytes | None
Parameters = Sequence[Value] | Mapping[str, Value]
Row = tuple[Any, ...]


def as_json(value: object) -> str:
    """A value for a column of JSON."""
    return to_json(value).decode()


def fetch(tx: sa.Connection, statement: str, parameters: Parameters = ()) -> list[Row]:
    """Runs a statement and returns its rows."""
    driver: Any = tx.connection.driver_connection
    try:
        rows: list[Row] = driver.execute(statement, parameters).fetchall()
    except driver.Error as error:
        raise _wrapped(error, driver, statement) from error
    return rows


def run_many(tx: sa.Connection, statement: str, rows: Iterable[Parameters]) -> None:
    """Runs a statement once for each of the rows."""
    driver: Any = tx.connection.driver_connection
    try:
        driver.executemany(statement, rows).close()
    except driver.Error as error:
        raise _wrapped(error, driver, statement) from error


def marks(values: Sequence[Value]) -> str:
    """As many ``?`` as there are values, for what stands behind IN."""
    return ", ".join("?" * len(values))


def _wrapped(error: Exception, driver: Any, statement: str) -> BaseException:
    return DBAPIError.instance(statement, None, error, driver.Error, hide_parameters=True)
