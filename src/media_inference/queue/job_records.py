"""Jobs as they are read, counted and cleaned up."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from media_inference.errors import ErrorCode
from media_inference.jobs.event import EventType
from media_inference.jobs.job import Job, JobFailure, JobStatus
from media_inference.queue.clock import Clock, wall_clock
from media_inference.queue.counters import CounterName, counted
from media_inference.queue.engine import reading, writing
from media_inference.queue.events import SUBJECT, add_events
from media_inference.queue.sync import SyncStatus
from media_inference.queue.tables import collections, embedding_sets, jobs
from media_inference.queue.tables import media_store_sync_status as sync
from media_inference.queue.tallies import read_tallies

_CLEANUP_BATCH = 500

OLDEST_PENDING = sa.select(sa.func.min(jobs.c.created_at)).where(sa.text("jobs.status = 'pending'"))
"""In the words of the index `ix_jobs_pending`, which a parameter would not match."""


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """What the database knows about the work. ``jobs``: by status and task type.

    ``oldest_waiting_ms``: age of the oldest pending job. ``attempts_dropped``: since the database was made.
    """

    jobs: dict[tuple[str, str], int]
    jobs_by_status: dict[str, int]
    jobs_by_task_type: dict[str, int]
    waiting_by_priority: dict[int, int]
    oldest_waiting_ms: int | None
    unpublished: int
    artifact_bytes: int
    attempts_dropped: int


@dataclass(frozen=True, slots=True)
class FinishedJobs:
    """Finished jobs that a cleanup removes, with the files that they have."""

    job_ids: tuple[str, ...]
    files: int
    bytes: int


class JobRecords:
    """The jobs as the API shows them. ``on_event`` rings for those who listen to job events."""

    def __init__(
        self, engine: sa.Engine, clock: Clock = wall_clock, *, on_event: Callable[[], None] = lambda: None
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._on_event = on_event

    def get(self, job_id: str) -> Job | None:
        """One job, or None."""
        with reading(self._engine) as tx:
            row = tx.execute(sa.select(jobs).where(jobs.c.job_id == job_id)).one_or_none()
        return None if row is None else _job(row)

    def existing(self, job_ids: Collection[str]) -> set[str]:
        """Those of the ids that are jobs."""
        with reading(self._engine) as tx:
            return set(tx.scalars(sa.select(jobs.c.job_id).where(jobs.c.job_id.in_(job_ids))))

    def statistics(self) -> QueueStatistics:
        """The numbers of this moment; it costs the same however many jobs there are."""
        with reading(self._engine) as tx:
            now_there = read_tallies(tx)
            oldest = tx.scalar(OLDEST_PENDING)
            dropped = counted(tx, CounterName.ATTEMPTS_DROPPED)
        by_status, by_task_type = Counter[str](), Counter[str]()
        for (status, task_type), count in now_there.jobs.items():
            by_status[status] += count
            by_task_type[task_type] += count
        return QueueStatistics(
            jobs=dict(now_there.jobs),
            jobs_by_status={status: by_status[status] for status in JobStatus},
            jobs_by_task_type=dict(sorted(by_task_type.items())),
            waiting_by_priority=dict(now_there.waiting),
            oldest_waiting_ms=None if oldest is None else max(0, self._clock() - oldest),
            unpublished=now_there.unpublished,
            artifact_bytes=now_there.artifact_bytes,
            attempts_dropped=dropped,
        )

    def count(self) -> int:
        """How many jobs there are, counted one by one: tables of any release can be asked."""
        with reading(self._engine) as tx:
            return tx.execute(sa.select(sa.func.count()).select_from(jobs)).scalar_one()

    def models(self) -> dict[str, str]:
        """The model whose vectors each collection holds; a collection that never held one is left out."""
        with reading(self._engine) as tx:
            return {row.name: row.model for row in tx.execute(sa.select(*collections.c["name", "model"]))}

    def check(self) -> None:
        """Raises `DatabaseUnavailable` when the database can't be read or lacks its tables."""
        with reading(self._engine) as tx:
            tx.execute(sa.select(jobs.c.job_id).limit(1)).all()
            tx.execute(sa.select(embedding_sets.c.set_id).limit(1)).all()

    def clean_up(
        self,
        older_than_ms: int,
        statuses: Sequence[JobStatus],
        *,
        dry_run: bool,
        removed: Callable[[Sequence[str]], None],
    ) -> FinishedJobs:
        """Removes finished jobs that ended more than ``older_than_ms`` ago, a batch per transaction.

        A job whose result is still to be reported to the media store stays. ``removed`` is called with the ids of each
        batch after its commit. With ``dry_run`` nothing is removed.
        """
        finished = sa.and_(
            jobs.c.status.in_([status for status in statuses if status in {JobStatus.COMPLETED, JobStatus.FAILED}]),
            jobs.c.completed_at <= self._clock() - older_than_ms,
            ~sa.exists().where(sync.c.job_id == jobs.c.job_id, sync.c.status == SyncStatus.PENDING),
        )
        if dry_run:
            with reading(self._engine) as tx:
                return _finished(tx.execute(_with_files().where(finished)).all())
        batches: list[FinishedJobs] = []
        while True:
            with writing(self._engine) as tx:
                batch = _finished(tx.execute(_with_files().where(finished).limit(_CLEANUP_BATCH)).all())
                gone = jobs.delete().where(jobs.c.job_id.in_(batch.job_ids)).returning(*SUBJECT)
                add_events(tx, EventType.DELETED, tx.execute(gone).all(), self._clock())
            if not batch.job_ids:
                break
            self._on_event()
            removed(batch.job_ids)
            batches.append(batch)
        return FinishedJobs(
            tuple(job_id for batch in batches for job_id in batch.job_ids),
            sum(batch.files for batch in batches),
            sum(batch.bytes for batch in batches),
        )


def _with_files() -> sa.Select[str, int, int]:
    return sa.select(jobs.c.job_id, jobs.c.artifact_files, jobs.c.artifact_bytes)


def _finished(rows: Sequence[sa.Row[str, int, int]]) -> FinishedJobs:
    return FinishedJobs(tuple(row[0] for row in rows), sum(row[1] for row in rows), sum(row[2] for row in rows))


def _job(row: sa.Row[*tuple[Any, ...]]) -> Job:
    failure = None
    if row.error_code is not None:
        failure = JobFailure(ErrorCode(row.error_code), row.error_message, row.error_retryable)
    return Job(
        job_id=row.job_id,
        task_type=row.task_type,
        media_store_id=row.media_store_id,
        status=JobStatus(row.status),
        priority=row.priority,
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        attempts=row.attempts,
        result=row.result if row.status == JobStatus.COMPLETED else None,
        error=failure,
    )
