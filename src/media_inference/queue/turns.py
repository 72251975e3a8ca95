"""Whose turn it is, and how a job is taken. Part of the claiming transaction."""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import sqlalchemy as sa

from media_inference.errors import Dependency
from media_inference.jobs.job import LOWEST_PRIORITY, Claim
from media_inference.queue.driver import Row, Value, fetch, marks, run_many
from media_inference.queue.events import add_started
from media_inference.queue.outages import is_away


@dataclass(frozen=True, slots=True)
class Wish:
    """What a worker can take on now.

    ``most`` jobs of a priority of ``at_least``, ``without`` those of some task types, or only while a dependency is
    away: ``while_away``. ``idle``: it runs nothing else, so that it may take a job that is to run alone, and then takes
    only that.
    """

    most: int = 1
    without: Collection[str] = ()
    while_away: Dependency | None = None
    at_least: int = LOWEST_PRIORITY
    idle: bool = True


class Turn(NamedTuple):
    """A place in the queue whose turn it is. ``alone``: whether the job there is to run with none beside it."""

    priority: int
    position: int
    job_id: str
    alone: int


# With a parameter as its limit, SQLite would plan the statement anew each time.
NEXT = """
SELECT priority, position, job_id, alone FROM queue
WHERE lease_token IS NULL AND available_at <= :now AND priority >= :at_least
ORDER BY priority DESC, position LIMIT {most}
"""
NEXT_OF_TYPE = NEXT.replace("WHERE", "WHERE task_type = :task_type AND")
TYPES = """
WITH RECURSIVE types (task_type) AS (
    SELECT min(task_type) FROM queue WHERE lease_token IS NULL
    UNION ALL
    SELECT (SELECT min(task_type) FROM queue WHERE lease_token IS NULL AND task_type > types.task_type) FROM types
    WHERE types.task_type IS NOT NULL
)
SELECT task_type FROM types WHERE task_type IS NOT NULL
"""
"""The task types of waiting jobs: a look into the index for each, however many jobs there are."""


def next_jobs(tx: sa.Connection, wish: Wish, now: int) -> Sequence[Turn]:
    """The jobs whose turn it is, in their order, as far as the wish goes.

    A job that is to run alone is not passed by: nothing behind it is claimed before it.
    """
    passes_by = wish.without and (wish.while_away is None or is_away(tx, wish.while_away))
    waiting = _passing_by(tx, wish, now) if passes_by else _first(tx, NEXT, wish, {"now": now})
    if waiting and waiting[0].alone:
        return waiting[:1] if wish.idle else ()
    return list(takewhile(lambda turn: not turn.alone, waiting))


def _passing_by(tx: sa.Connection, wish: Wish, now: int) -> list[Turn]:
    """The first of each task type that is wanted: those that are not may be a million, and nobody looks at them."""
    turns = [
        turn
        for (task_type,) in fetch(tx, TYPES)
        if task_type not in wish.without
        for turn in _first(tx, NEXT_OF_TYPE, wish, {"now": now, "task_type": task_type})
    ]
    return sorted(turns, key=lambda turn: (-turn.priority, turn.position))[: wish.most]


def _first(tx: sa.Connection, query: str, wish: Wish, asked: dict[str, Value]) -> list[Turn]:
    found = fetch(tx, query.format(most=wish.most), {**asked, "at_least": wish.at_least})
    return [*map(Turn._make, found)]


# "OR FAIL": see `driver`.
_LEASE = "UPDATE OR FAIL queue SET lease_token = ?, worker_id = ?, lease_beat = 0 WHERE position = ?"
_START = """
UPDATE OR FAIL jobs SET status = 'processing', attempts = attempts + 1, started_at = ? WHERE job_id IN ({of})
RETURNING job_id, task_type, media_store_id, priority, attempts, failures, releases
"""


def take(tx: sa.Connection, turns: Sequence[Turn], worker_id: str, now: int) -> list[Claim]:
    """Gives each job to the worker under a fresh random token, counts the attempt and tells of it."""
    if not turns:
        return []
    chance = secrets.token_hex(16 * len(turns))
    tokens = [chance[32 * place : 32 * (place + 1)] for place in range(len(turns))]
    job_ids = [turn.job_id for turn in turns]
    run_many(tx, _LEASE, [(token, worker_id, turn.position) for token, turn in zip(tokens, turns, strict=True)])
    started = {row[0]: row for row in fetch(tx, _START.format(of=marks(job_ids)), (now, *job_ids))}
    claims = [_claim(started[turn.job_id], token, turn) for token, turn in zip(tokens, turns, strict=True)]
    add_started(tx, claims, now)
    return claims


def _claim(started: Row, lease_token: str, turn: Turn) -> Claim:
    job_id, task_type, media_store_id, priority, attempts, failures, releases = started
    return Claim(
        job_id=job_id,
        task_type=task_type,
        media_store_id=media_store_id,
        priority=priority,
        lease_token=lease_token,
        attempt=attempts,
        failures=failures,
        releases=releases,
        alone=bool(turn.alone),
    )
