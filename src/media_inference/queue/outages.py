"""Which dependencies are away, and since when; what every process of the service knows of each other's troubles."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from media_inference.errors import Dependency
from media_inference.queue.clock import Clock, wall_clock
from media_inference.queue.driver import fetch
from media_inference.queue.engine import reading, writing
from media_inference.queue.tables import outages


@dataclass(frozen=True, slots=True)
class Outage:
    """A dependency that is away. ``since``: milliseconds since 1970 UTC."""

    dependency: Dependency
    since: int
    reason: str


def is_away(tx: sa.Connection, dependency: Dependency) -> bool:
    """Whether a dependency is away; for the transaction that claims what may need it."""
    return bool(fetch(tx, "SELECT 1 FROM outages WHERE dependency = ?", (dependency.value,)))


class OutageRecords:
    """The table of outages. A row is there as long as the outage lasts."""

    def __init__(self, engine: sa.Engine, clock: Clock = wall_clock) -> None:
        self._engine = engine
        self._clock = clock

    def begin(self, dependency: Dependency, reason: str) -> None:
        """Notes that a dependency is away; keeps the first word when somebody else noted it before."""
        row = sqlite.insert(outages).values(dependency=dependency, since=self._clock(), reason=reason)
        with writing(self._engine) as tx:
            tx.execute(row.on_conflict_do_nothing())

    def end(self, dependency: Dependency) -> None:
        """Notes that it is back."""
        with writing(self._engine) as tx:
            tx.execute(outages.delete().where(outages.c.dependency == dependency))

    def current(self) -> Sequence[Outage]:
        """What is away now."""
        with reading(self._engine) as tx:
            rows = tx.execute(sa.select(*outages.c["dependency", "since", "reason"])).all()
        return [Outage(Dependency(dependency), since, reason) for dependency, since, reason in rows]
