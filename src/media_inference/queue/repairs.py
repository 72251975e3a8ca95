"""Changes that only a repair makes: a job runs again, a set is published again. Part of a writing transaction.

A job that was over and is under way again begins another life: it is told of as `queued` once more.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from media_inference.jobs.event import LAST_WORDS, EventType
from media_inference.jobs.job import FINISHED, JobStatus
from media_inference.queue.clock import Clock, wall_clock
from media_inference.queue.engine import writing
from media_inference.queue.events import SUBJECT, add_event, add_events, last_told
from media_inference.queue.outbox import VECTORS
from media_inference.queue.tables import embedding_sets, jobs, outbox, queue

Id = str | int


class Repairs:
    """The repairs as the audit asks for them, one transaction each."""

    def __init__(self, engine: sa.Engine, clock: Clock = wall_clock) -> None:
        self._engine = engine
        self._clock = clock

    def run_again(self, job_ids: Sequence[Id]) -> None:
        """Puts completed jobs back into the queue: what they promise can't be made from the database."""
        with writing(self._engine) as tx:
            completed = sa.select(jobs.c.job_id).where(
                jobs.c.job_id.in_(job_ids),
                jobs.c.status == JobStatus.COMPLETED,
                jobs.c.job_id.not_in(sa.select(queue.c.job_id)),
            )
            run_again(tx, tx.scalars(completed).all(), self._clock())

    def publish_again(self, set_ids: Sequence[int]) -> None:
        """Puts published sets back into the outbox, in the order of their ids."""
        with writing(self._engine) as tx:
            there = sa.select(embedding_sets.c.set_id).where(embedding_sets.c.set_id.in_(set_ids))
            publish_again(tx, tx.scalars(there).all(), self._clock())


def run_again(tx: sa.Connection, job_ids: Sequence[Id], now: int) -> None:
    """Makes jobs pending, with all their tries before them; they go to the end of the queue."""
    tx.execute(
        jobs.update()
        .where(jobs.c.job_id.in_(job_ids))
        .values(status=JobStatus.PENDING, started_at=None, completed_at=None, failures=0, crashes=0, releases=0)
    )
    waiting = (
        sa.select(*jobs.c["job_id", "priority", "task_type"])
        .where(jobs.c.job_id.in_(job_ids))
        .order_by(jobs.c.created_at)
    )
    tx.execute(queue.insert().from_select(["job_id", "priority", "task_type"], waiting))
    begin_another_life(tx, job_ids, now)


def begin_another_life(tx: sa.Connection, job_ids: Sequence[Id], now: int) -> None:
    """Tells of jobs as queued."""
    subjects = sa.select(*SUBJECT).where(jobs.c.job_id.in_(job_ids)).order_by(jobs.c.created_at)
    add_events(tx, EventType.QUEUED, tx.execute(subjects).all(), now)


def complete(tx: sa.Connection, job_ids: Sequence[Id], now: int) -> None:
    """Completes settled jobs."""
    tx.execute(jobs.update().where(jobs.c.job_id.in_(job_ids)).values(status=JobStatus.COMPLETED, completed_at=now))
    told = {job_id: last_told(tx, str(job_id)) for job_id in job_ids}
    tell_endings(tx, [job_id for job_id, word in told.items() if word is None or word not in LAST_WORDS], now)


def tell_endings(tx: sa.Connection, job_ids: Sequence[Id], now: int) -> None:
    """Tells how jobs ended, if they did. It is told now, whenever it was: the log is in the order of its telling."""
    ended = sa.select(jobs).where(jobs.c.job_id.in_(job_ids), jobs.c.status.in_(FINISHED)).order_by(jobs.c.completed_at)
    for job in tx.execute(ended).all():
        failure = {"code": job.error_code, "message": job.error_message, "retryable": job.error_retryable}
        error = {"error": failure} if job.status == JobStatus.FAILED else {}
        add_event(tx, EventType(job.status), job, now, attempt=job.attempts, **error)


def tell_anew(tx: sa.Connection, job_ids: Sequence[Id], now: int) -> None:
    """Takes nothing back that was told, and tells from the beginning how jobs stand."""
    begin_another_life(tx, job_ids, now)
    tell_endings(tx, job_ids, now)


def publish_again(tx: sa.Connection, set_ids: Sequence[Id], now: int) -> None:
    """Puts sets into the outbox that are not in it, in the order of their ids."""
    waiting = set(tx.scalars(sa.select(outbox.c.set_id).where(outbox.c.set_id.in_(set_ids))))
    rows = [
        {"topic": VECTORS, "set_id": set_id, "created_at": now} for set_id in sorted(set(set_ids) - waiting, key=int)
    ]
    if rows:
        tx.execute(outbox.insert(), rows)
