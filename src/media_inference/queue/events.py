"""Job events: what happened to jobs, in the order in which it was committed.

An event is written by the transaction of the change that it tells of. On SQLite one transaction writes at a time, and
an id is given out inside it, so ids rise in the order of the commits: whoever has read up to an id has missed nothing
below it. Events outlive their jobs; the oldest are trimmed, the newest never is, so that the log knows where it stands.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from media_inference.jobs.event import Event, EventType
from media_inference.jobs.job import Claim, Job, JsonObject
from media_inference.queue.clock import Clock, wall_clock
from media_inference.queue.driver import Value, as_json, run_many
from media_inference.queue.engine import reading, writing
from media_inference.queue.tables import events, jobs

Subject = Job | Claim | sa.Row[*tuple[Any, ...]]
"""Whom an event is about; a row has the columns `SUBJECT`."""

SUBJECT = jobs.c["job_id", "task_type", "media_store_id", "priority"]

_INSERT = "INSERT INTO events (job_id, type, at, data) VALUES (?, ?, ?, ?)"
_TRIM_BATCH = 500
_ENDS = sa.select(*(sa.select(end(events.c.event_id)).scalar_subquery() for end in (sa.func.min, sa.func.max)))
_BEHIND = (
    sa.select(events)
    .where(events.c.event_id > sa.bindparam("begin"))
    .order_by(events.c.event_id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)


class Gap(StrEnum):
    """Why a reader can't go on where it asked to."""

    TRIMMED = "trimmed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in their order.

    ``after``: the id behind which they begin; ``through``: the one up to which there are no others. ``gap``: why they
    begin elsewhere than they were asked for.
    """

    events: tuple[Event, ...]
    after: int
    through: int
    gap: Gap | None = None


def add_event(tx: sa.Connection, event_type: EventType, job: Subject, at: int, **more: object) -> None:
    """Writes one event; part of the transaction of the change that it tells of."""
    run_many(tx, _INSERT, [_row(event_type.value, job, at, more)])


def add_events(tx: sa.Connection, event_type: EventType, about: Iterable[Subject], at: int) -> None:
    """The same for many jobs."""
    told = event_type.value
    run_many(tx, _INSERT, [_row(told, job, at, {}) for job in about])


def add_attempt_events(tx: sa.Connection, event_type: EventType, claims: Iterable[Claim], at: int) -> None:
    """The same for many attempts, with the number of each."""
    told = event_type.value
    run_many(tx, _INSERT, [_row(told, claim, at, {"attempt": claim.attempt}) for claim in claims])


def add_started(tx: sa.Connection, claims: Iterable[Claim], at: int) -> None:
    """Tells of attempts, but for those of the same number that were told of and then given back."""
    new = [claim for claim in claims if not (claim.releases and _was_told_of(tx, claim))]
    add_attempt_events(tx, EventType.STARTED, new, at)


def _was_told_of(tx: sa.Connection, claim: Claim) -> bool:
    """In this life of the job: an earlier one may have told of the same number."""
    of_job = sa.select(*events.c["type", "data"]).where(events.c.job_id == claim.job_id)
    for event_type, data in tx.execute(of_job.order_by(events.c.event_id.desc())):
        if event_type == EventType.QUEUED:
            break
        if event_type == EventType.STARTED and data["attempt"] == claim.attempt:
            return True
    return False


def _row(told: str, job: Subject, at: int, more: JsonObject) -> Sequence[Value]:
    data = {"task_type": job.task_type, "media_store_id": job.media_store_id, "priority": job.priority, **more}
    return job.job_id, told, at, as_json(data)


def last_told(tx: sa.Connection, job_id: str) -> EventType | None:
    """The newest event of a job."""
    newest = sa.select(events.c.type).where(events.c.job_id == job_id).order_by(events.c.event_id.desc()).limit(1)
    told = tx.scalar(newest)
    return None if told is None else EventType(told)


def renumber(tx: sa.Connection, microseconds: int) -> None:
    """Moves the ids of all events, and of those to come, behind every id that this database or a copy gave out.

    ``microseconds``: since 1970 UTC; ids rise by less than one in each. Whoever comes back with an older id lies before
    the oldest then, and is told so.
    """
    oldest, newest = _bounds(tx)
    sequence = tx.exec_driver_sql(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'"
    ).scalar_one()
    shift = max(microseconds, newest, sequence) + 1 - oldest
    tx.execute(events.update().values(event_id=events.c.event_id + shift))
    tx.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = 'events'")
    tx.exec_driver_sql("INSERT INTO sqlite_sequence VALUES ('events', ?)", (max(newest, sequence) + shift,))


class EventLog:
    """The events as the API reads them and the caretaker trims them."""

    def __init__(self, engine: sa.Engine, clock: Clock = wall_clock) -> None:
        self._engine = engine
        self._clock = clock

    def newest(self) -> int:
        """The id of the newest event; 0 before the first."""
        with reading(self._engine) as tx:
            return _bounds(tx)[1]

    def page(self, after: int, limit: int) -> EventPage:
        """The oldest ``limit`` events behind ``after``; all that are kept when that is no place to go on from."""
        with reading(self._engine) as tx:
            oldest, newest = _bounds(tx)
            gap = _gap(after, oldest, newest)
            begin = after if gap is None else oldest - 1
            rows = tx.execute(_BEHIND, {"begin": begin, "limit": limit})
            found = tuple(_event(row) for row in rows)
        return EventPage(found, begin, found[-1].event_id if len(found) == limit else newest, gap)

    def of_job(self, job_id: str, after: int) -> EventPage:
        """All events of a job behind ``after``. There is a gap only where one of its own events may be missing."""
        with reading(self._engine) as tx:
            oldest, newest = _bounds(tx)
            rows = tx.execute(sa.select(events).where(events.c.job_id == job_id).order_by(events.c.event_id))
            kept = tuple(_event(row) for row in rows)
        gap = _gap(after, oldest, newest)
        if gap is not Gap.UNKNOWN:
            whole = bool(kept) and kept[0].type is EventType.QUEUED
            gap = None if whole or (after and gap is None) else Gap.TRIMMED
        found = kept if gap else tuple(event for event in kept if event.event_id > after)
        begin = after if gap is None else found[0].event_id - 1 if found else newest
        return EventPage(found, begin, newest, gap)

    def knows(self, job_id: str) -> bool:
        """Whether an event of this job is kept; the job itself may be gone."""
        with reading(self._engine) as tx:
            return tx.scalar(sa.select(events.c.event_id).where(events.c.job_id == job_id).limit(1)) is not None

    def trim(self, keep_ms: int, most: int) -> int:
        """Removes a batch of the oldest events and returns how many; call it until that is 0.

        They go that are older than ``keep_ms`` and have none before them that is not, and those above ``most``.
        """
        before = self._clock() - keep_ms
        with writing(self._engine) as tx:
            _, newest = _bounds(tx)
            oldest = tx.execute(sa.select(*events.c["event_id", "at"]).order_by(events.c.event_id).limit(_TRIM_BATCH))
            last = 0
            for event_id, at in oldest:
                if event_id == newest or (at > before and event_id > newest - most):
                    break
                last = event_id
            return tx.execute(events.delete().where(events.c.event_id <= last)).rowcount if last else 0


def _bounds(tx: sa.Connection) -> tuple[int, int]:
    """The oldest and the newest id; (1, 0) before the first event. Two lookups: one MIN with a MAX scans the table."""
    oldest, newest = tx.execute(_ENDS).one()
    return (1, 0) if newest is None else (oldest, newest)


def _gap(after: int, oldest: int, newest: int) -> Gap | None:
    if after > newest:
        return Gap.UNKNOWN
    return Gap.TRIMMED if after < oldest - 1 else None


def _event(row: sa.Row[*tuple[Any, ...]]) -> Event:
    return Event(row.event_id, EventType(row.type), row.job_id, row.at, row.data)
