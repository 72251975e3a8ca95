"""Requests for jobs, and what they come to."""

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum

import sqlalchemy as sa

from media_inference.errors import KeyReused, QueueFull
from media_inference.jobs.job import Job, JobStatus, NewJob
from media_inference.jobs.job_id import new_job_id
from media_inference.queue.clock import Clock, wall_clock
from media_inference.queue.engine import writing
from media_inference.queue.tables import idempotency_keys as keys

_TRIM_BATCH = 500


@dataclass(frozen=True, slots=True)
class RequestKey:
    """An `Idempotency-Key`, and the ``subject`` whose it is: two clients may use the same words."""

    subject: str
    key: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request for a job.

    With a ``key`` it is made once, however often it is asked for. ``share``: a job that is under way for the same task
    and media item will do. ``job_id``: the id that a new job gets.
    """

    new: NewJob
    key: RequestKey | None = None
    share: bool = False
    job_id: str = field(default_factory=new_job_id)

    def job(self, now: int) -> Job:
        """The new job."""
        return Job(
            job_id=self.job_id,
            task_type=self.new.task_type,
            media_store_id=self.new.media_store_id,
            status=JobStatus.PENDING,
            priority=self.new.priority,
            created_at=now,
        )

    def hash(self) -> str:
        """Tells another request with the same key from this one."""
        words = json.dumps([self.new.task_type, self.new.media_store_id, self.new.priority])
        return hashlib.sha256(words.encode()).hexdigest()


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


Answer = Submission | KeyReused | QueueFull
"""What a request came to, or why to nothing."""


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
