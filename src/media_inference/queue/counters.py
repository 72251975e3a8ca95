"""What is counted in the database, so that it is the count of all processes and outlives each of them."""

from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from media_inference.queue.tables import counters


class CounterName(StrEnum):
    """``attempts_dropped``: ends of attempts that changed nothing, because the lease was no longer theirs."""

    ATTEMPTS_DROPPED = "attempts_dropped"


def count_one(tx: sa.Connection, name: CounterName) -> None:
    """Raises a counter by one; part of the writing transaction in which it happened."""
    first = sqlite.insert(counters).values(name=name, value=1)
    tx.execute(first.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1}))


def counted(tx: sa.Connection, name: CounterName) -> int:
    """How often it has happened since the database was made."""
    return tx.scalar(sa.select(counters.c.value).where(counters.c.name == name)) or 0
