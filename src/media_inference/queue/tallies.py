"""How many there are of what, without counting: rows that triggers keep, in the transaction of each change.

The triggers are made by the migrations 0007, 0009 and 0010; whatever changes a table, by whatever statement or cascade,
changes its tallies. On SQLite one transaction writes at a time anyway, so nobody waits for a tally. An engine with
several writers would want several rows for each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from media_inference.queue.driver import fetch
from media_inference.queue.rule import Id, Rule
from media_inference.queue.tables import jobs, media_store_sync_status, outbox, queue, tallies

_WAITING = "waiting/"
_JUST_BEHIND = "waiting0"  # "0" follows "/": all names that begin with "waiting/" lie between the two


@dataclass(frozen=True, slots=True)
class Tallies:
    """All tallies of one moment; what there is none of is left out.

    ``jobs``: by status and task type. ``waiting``: jobs that nobody has claimed, by priority. ``reports``: by status.
    """

    jobs: Mapping[tuple[str, str], int]
    waiting: Mapping[int, int]
    reports: Mapping[str, int]
    unpublished: int
    artifact_bytes: int


def read_tallies(tx: sa.Connection) -> Tallies:
    """A few dozen rows, however many jobs there are."""
    found = tx.execute(sa.select(tallies.c.name, tallies.c.value).where(tallies.c.value != 0)).all()
    rows = {tuple(str(name).split("/", 2)): int(value) for name, value in found}
    return Tallies(
        jobs={(name[1], name[2]): value for name, value in rows.items() if name[0] == "jobs"},
        waiting={int(name[1]): value for name, value in rows.items() if name[0] == "waiting"},
        reports={name[1]: value for name, value in rows.items() if name[0] == "reports"},
        unpublished=rows.get(("outbox",), 0),
        artifact_bytes=rows.get(("artifact_bytes",), 0),
    )


# Every submission asks.
_COUNT_WAITING = f"SELECT coalesce(sum(value), 0) FROM tallies WHERE name > '{_WAITING}' AND name < '{_JUST_BEHIND}'"  # noqa: S608  # of constants


def count_waiting(tx: sa.Connection) -> int:
    """Jobs that wait to be claimed."""
    ((waiting,),) = fetch(tx, _COUNT_WAITING)
    return int(waiting)


def _true(name: sa.ColumnElement[str], value: sa.ColumnElement[int], of: sa.FromClause) -> sa.Select[str, int]:
    return sa.select(name.label("name"), value.label("value")).select_from(of).group_by(sa.text("1"))


_ALL = sa.func.count()
_TRUTH = sa.union_all(
    _true(sa.literal("jobs/") + jobs.c.status + "/" + jobs.c.task_type, _ALL, jobs),
    _true(sa.literal(_WAITING) + sa.cast(queue.c.priority, sa.String), _ALL, queue).where(
        queue.c.lease_token.is_(None)
    ),
    _true(sa.literal("reports/") + media_store_sync_status.c.status, _ALL, media_store_sync_status),
    _true(sa.literal("outbox"), _ALL, outbox),
    _true(sa.literal("artifact_bytes"), sa.func.sum(jobs.c.artifact_bytes), jobs),
).subquery()

_BOTH = sa.union_all(sa.select(_TRUTH), sa.select(tallies.c.name, -tallies.c.value)).subquery()
_OFF = sa.select(_BOTH.c.name).group_by(_BOTH.c.name).having(sa.func.sum(_BOTH.c.value) != 0).subquery()


def _count_again(tx: sa.Connection, names: Sequence[Id], _now: int) -> None:
    tx.execute(tallies.delete().where(tallies.c.name.in_(names)))
    tx.execute(tallies.insert().from_select(["name", "value"], sa.select(_TRUTH).where(_TRUTH.c.name.in_(names))))


TALLY_RULE = Rule(
    "tally_off",
    sa.select(_OFF.c.name),
    "a tally that is not what there is",
    "counted again",
    _count_again,
)
