"""New jobs, and requests for one that is there already. Each function is part of the submitting transaction."""

import hashlib
import json
import uuid
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from media_inference.errors import KeyReused
from media_inference.jobs.event import EventType
from media_inference.jobs.job import Job, JobStatus, NewJob
from media_inference.queue.clock import Clock, wall_clock
from media_inference.queue.engine import writing
from media_inference.queue.events import add_event
from media_inference.queue.tables import idempotency_keys as keys
from media_inference.queue.tables import jobs, queue

_TRIM_BATCH = 500


@dataclass(frozen=True, slots=True)
class RequestKey:
    """An `Idempotency-Key`, and the ``subject`` whose it is: two clients may use the same words."""

    subject: str
    key: str


class Origin(StrEnum):
    """Where the job of an answer comes from: a new one, the one that the same key made, one that is under way."""

    NEW = "new"
    REPLAYED = "replayed"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Submission:
    """What a request for a job came to."""

    job: Job
    origin: Origin


def add_job(tx: sa.Connection, new: NewJob, now: int, job_id: str | None = None) -> Job:
    """Writes a new job with its place in the queue and its event."""
    job = Job(
        job_id=job_id or str(uuid.uuid4()),
        task_type=new.task_type,
        media_store_id=new.media_store_id,
        status=JobStatus.PENDING,
        priority=new.priority,
        created_at=now,
    )
    tx.execute(
        jobs.insert().values(
            job_id=job.job_id,
            task_type=job.task_type,
            media_store_id=job.media_store_id,
            status=job.status,
            priority=job.priority,
            created_at=job.created_at,
        )
    )
    tx.execute(queue.insert().values(job_id=job.job_id, priority=job.priority))
    add_event(tx, EventType.QUEUED, job, now)
    return job


def add_job_once(tx: sa.Connection, new: NewJob, key: RequestKey, now: int) -> Submission:
    """A new job, or the answer that this key had when it came first, whatever has become of that job.

    Raises `KeyReused` when the key came with another request.
    """
    job_id, request_hash = str(uuid.uuid4()), _request_hash(new)
    row = sqlite.insert(keys).values(
        subject=key.subject, key=key.key, request_hash=request_hash, job_id=job_id, created_at=now
    )
    if tx.execute(row.on_conflict_do_nothing()).rowcount == 1:
        return Submission(add_job(tx, new, now, job_id), Origin.NEW)
    first = tx.execute(sa.select(keys).where(keys.c.subject == key.subject, keys.c.key == key.key)).one()
    if first.request_hash != request_hash:
        raise KeyReused
    replayed = Job(
        job_id=first.job_id,
        task_type=new.task_type,
        media_store_id=new.media_store_id,
        status=JobStatus.PENDING,
        priority=new.priority,
        created_at=first.created_at,
    )
    return Submission(replayed, Origin.REPLAYED)


def find_live_job(tx: sa.Connection, new: NewJob) -> Job | None:
    """The job that is under way for the same task and media item, made as urgent as this request, if there is one."""
    row = tx.execute(live_job_query(new)).one_or_none()
    if row is None:
        return None
    if row.priority < new.priority:
        for table in (jobs, queue):
            tx.execute(table.update().where(table.c.job_id == row.job_id).values(priority=new.priority))
    return Job(
        job_id=row.job_id,
        task_type=new.task_type,
        media_store_id=new.media_store_id,
        status=JobStatus(row.status),
        priority=max(row.priority, new.priority),
        created_at=row.created_at,
    )


def live_job_query(new: NewJob) -> sa.Select[str, str, int, int]:
    """The oldest live job of a task on a media item, by the index of live jobs."""
    return (
        sa.select(jobs.c.job_id, jobs.c.status, jobs.c.priority, jobs.c.created_at)
        .where(LIVE, jobs.c.media_store_id == new.media_store_id, jobs.c.task_type == new.task_type)
        .order_by(jobs.c.created_at)
        .limit(1)
    )


LIVE = sa.text("jobs.status IN ('pending', 'processing')")
"""In the words of the index: SQLite uses a partial index only where it sees the same condition, without parameters."""


def _request_hash(new: NewJob) -> str:
    words = json.dumps([new.task_type, new.media_store_id, new.priority])
    return hashlib.sha256(words.encode()).hexdigest()


class IdempotencyKeys:
    """The keys as the caretaker trims them."""

    def __init__(self, engine: sa.Engine, clock: Clock = wall_clock) -> None:
        self._engine = engine
        self._clock = clock

    def trim(self, keep_ms: int) -> int:
        """Forgets a batch of keys older than ``keep_ms`` and returns how many; call it until that is 0."""
        old = sa.select(keys.c.subject, keys.c.key).where(keys.c.created_at <= self._clock() - keep_ms)
        with writing(self._engine) as tx:
            some = old.order_by(keys.c.created_at).limit(_TRIM_BATCH)
            return tx.execute(keys.delete().where(sa.tuple_(keys.c.subject, keys.c.key).in_(some))).rowcount
