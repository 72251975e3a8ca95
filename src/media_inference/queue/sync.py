"""Results on their way back to the media store: the table media_store_sync_status.

A row is written by the transaction that settles a job, and is due as soon as the job is completed. It is `pending`
until the media store has the result (`synced`), refuses it, or has been out of reach for too long (`failed`). An upload
that fails does not fail its job.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from media_inference.jobs.job import JobStatus, JsonObject, Sync
from media_inference.queue.clock import Clock, wall_clock
from media_inference.queue.engine import reading, writing
from media_inference.queue.tables import jobs
from media_inference.queue.tables import media_store_sync_status as sync
from media_inference.queue.tallies import read_tallies


class SyncStatus(StrEnum):
    """Whether the media store has a job's result."""

    PENDING = "pending"
    SYNCED = "synced"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DueUpload:
    """A completed job whose result the media store does not have. ``waiting_ms``: how long it has been due.

    ``asked_at`` tells this report from that of the same job when it is run again.
    """

    job_id: str
    task_type: str
    media_store_id: str
    model: str | None
    result: JsonObject
    attempts: int
    asked_at: int
    waiting_ms: int


_FORGET = sync.delete().where(sync.c.job_id.in_(sa.bindparam("of", expanding=True)))
_ADD = sync.insert().inline()


def add_uploads(tx: sa.Connection, uploads: Mapping[str, str], now: int) -> None:
    """Writes the rows of jobs that are being settled, by their media items; one that is settled again starts anew."""
    if not uploads:
        return
    tx.execute(_FORGET, {"of": list(uploads)})
    rows = [
        {
            "job_id": job_id,
            "media_store_id": media_store_id,
            "status": SyncStatus.PENDING.value,
            "next_attempt_at": now,
            "created_at": now,
        }
        for job_id, media_store_id in uploads.items()
    ]
    tx.execute(_ADD, rows)


class SyncRecords:
    """The uploads as the publisher and the API use them."""

    def __init__(self, engine: sa.Engine, clock: Clock = wall_clock) -> None:
        self._engine = engine
        self._clock = clock

    def due(self, limit: int) -> Sequence[DueUpload]:
        """Uploads whose time has come, those that wait longest first."""
        now = self._clock()
        query = (
            sa.select(*jobs.c["job_id", "task_type", "media_store_id", "model", "result"])
            .add_columns(sync.c.attempts, sync.c.created_at, now - sa.func.max(sync.c.created_at, jobs.c.completed_at))
            .join(sync, sync.c.job_id == jobs.c.job_id)
            .where(
                sync.c.status == SyncStatus.PENDING,
                sync.c.next_attempt_at <= now,
                jobs.c.status == JobStatus.COMPLETED,
            )
            .order_by(sync.c.next_attempt_at)
            .limit(limit)
        )
        with reading(self._engine) as tx:
            return [DueUpload(*row) for row in tx.execute(query)]

    def synced(self, upload: DueUpload) -> None:
        """The media store has it."""
        now = self._clock()
        self._note(upload, status=SyncStatus.SYNCED, synced_at=now, next_attempt_at=None, last_error=None)

    def retry(self, upload: DueUpload, error: str, delay: float) -> None:
        """It did not arrive; the next attempt comes after ``delay`` seconds."""
        self._note(upload, next_attempt_at=self._clock() + int(delay * 1000), last_error=error)

    def fail(self, upload: DueUpload, error: str) -> None:
        """It will not be tried again, unless somebody asks for it."""
        self._note(upload, status=SyncStatus.FAILED, next_attempt_at=None, last_error=error)

    def _note(self, upload: DueUpload, **values: object) -> None:
        pending = sa.and_(
            sync.c.job_id == upload.job_id,
            sync.c.status == SyncStatus.PENDING,
            sync.c.created_at == upload.asked_at,
        )
        with writing(self._engine) as tx:
            tx.execute(sync.update().where(pending).values(attempts=sync.c.attempts + 1, **values))

    def restart_failed(self) -> int:
        """Starts the failed uploads again, with a full measure of time; returns how many."""
        now = self._clock()
        with writing(self._engine) as tx:
            return tx.execute(
                sync.update()
                .where(sync.c.status == SyncStatus.FAILED)
                .values(status=SyncStatus.PENDING, next_attempt_at=now, created_at=now)
            ).rowcount

    def of_job(self, job_id: str) -> Sync | None:
        """How a job's upload stands; None when there is nothing to upload."""
        columns = sync.c["status", "attempts", "next_attempt_at", "last_error"]
        with reading(self._engine) as tx:
            row = tx.execute(sa.select(*columns).where(sync.c.job_id == job_id)).one_or_none()
        return None if row is None else Sync(*row)

    def counts(self) -> dict[str, int]:
        """Uploads by status."""
        with reading(self._engine) as tx:
            counted = read_tallies(tx).reports
        return {status.value: counted.get(status, 0) for status in SyncStatus}
