"""Every change to a job, each in one transaction.

::

    submit ──> pending ──claim──> processing ──settle──> completed, at once or when its vectors are published
                  ▲                   │ ├────fail───> failed
                  └─ retry, release ──┘ └─charge_*──> pending, or failed at the third crash

A claim carries a fresh random lease token, and whatever a worker does with the job later names it: when no row has that
token any more, the worker has lost its authority, the method returns False and nothing has changed.
"""

import secrets
import uuid
from collections.abc import Callable, Collection, Sequence

import sqlalchemy as sa

from media_inference.errors import ErrorCode, JobError
from media_inference.jobs.job import Claim, Job, JobFailure, JobStatus, NewJob
from media_inference.jobs.outcome import Findings
from media_inference.queue import outbox, sync
from media_inference.queue.clock import Clock, wall_clock
from media_inference.queue.engine import writing
from media_inference.queue.tables import jobs, queue

MOST_CRASHES = 3


class JobQueue:
    """The queue as the API and the workers use it.

    ``uploads``: results are wanted by the media store, so a settled job leaves a row in media_store_sync_status.
    """

    def __init__(self, engine: sa.Engine, clock: Clock = wall_clock, *, uploads: bool = False) -> None:
        self._engine = engine
        self._clock = clock
        self._uploads = uploads

    def submit(self, new: NewJob) -> Job:
        """Writes a new job; it is on disk on return."""
        job = Job(
            job_id=str(uuid.uuid4()),
            task_type=new.task_type,
            media_store_id=new.media_store_id,
            status=JobStatus.PENDING,
            priority=new.priority,
            created_at=self._clock(),
        )
        with writing(self._engine) as tx:
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
        return job

    def claim(self, worker_id: str, without: Collection[str] = ()) -> Claim | None:
        """The job whose turn it is: highest priority first, then first in, first out. Counts the attempt.

        ``without``: task types that can't be worked on now.
        """
        now, token = self._clock(), secrets.token_hex(16)
        with writing(self._engine) as tx:
            job_id = tx.scalar(
                _of_other_types(without)
                .where(queue.c.lease_token.is_(None), queue.c.available_at <= now)
                .order_by(queue.c.priority.desc(), queue.c.position)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            if job_id is None:
                return None
            tx.execute(
                queue.update()
                .where(queue.c.job_id == job_id)
                .values(lease_token=token, worker_id=worker_id, lease_beat=0)
            )
            row = tx.execute(
                jobs.update()
                .where(jobs.c.job_id == job_id)
                .values(status=JobStatus.PROCESSING, started_at=now, attempts=jobs.c.attempts + 1)
                .returning(*jobs.c["task_type", "media_store_id", "priority", "attempts", "failures", "releases"])
            ).one()
        return Claim(
            job_id=job_id,
            task_type=row.task_type,
            media_store_id=row.media_store_id,
            priority=row.priority,
            lease_token=token,
            attempt=row.attempts,
            failures=row.failures,
            releases=row.releases,
        )

    def renew(self, claim: Claim) -> bool:
        """Tells whoever watches that the job's worker is alive: raises the lease's counter."""
        with writing(self._engine) as tx:
            beat = queue.update().where(_held(claim)).values(lease_beat=queue.c.lease_beat + 1)
            return tx.execute(beat).rowcount == 1

    def settle(self, claim: Claim, findings: Findings, promote_files: Callable[[], None]) -> bool:
        """Accepts what a task found: result, embeddings, files and outbox entry become true together.

        ``promote_files`` puts the files in place; it runs while the claim is known to hold, just before the commit.
        The job is completed at once when nothing has to be published. Raises `PermanentError` (`model_unavailable`)
        when the collection holds vectors of another model, `TransientError` (`storage_full`) when there is no room.
        """
        now = self._clock()
        with writing(self._engine) as tx:
            if not _take_back(tx, claim):
                return False
            if findings.embedding_set is not None:
                outbox.add_embedding_set(tx, claim, findings.embedding_set, now)
            if self._uploads:
                sync.add_upload(tx, claim.job_id, claim.media_store_id, now)
            promote_files()
            completed = findings.embedding_set is None
            tx.execute(
                jobs.update()
                .where(jobs.c.job_id == claim.job_id)
                .values(
                    result=findings.result,
                    model=findings.model,
                    status=JobStatus.COMPLETED if completed else JobStatus.PROCESSING,
                    completed_at=now if completed else None,
                    artifact_files=len(findings.artifacts),
                    artifact_bytes=sum(len(artifact.content) for artifact in findings.artifacts),
                    **_no_error(),
                )
            )
        return True

    def fail(self, claim: Claim, error: JobError) -> bool:
        """Ends the job as failed."""
        with writing(self._engine) as tx:
            if not _take_back(tx, claim):
                return False
            _mark_failed(tx, claim.job_id, _failure(error), self._clock())
        return True

    def retry(self, claim: Claim, error: JobError, delay: float) -> bool:
        """Puts the job back at its old place, to be claimed after ``delay`` seconds; counts a failure."""
        with writing(self._engine) as tx:
            if tx.execute(_freed(_held(claim), available_at=self._clock() + int(delay * 1000))).rowcount == 0:
                return False
            tx.execute(
                jobs.update()
                .where(jobs.c.job_id == claim.job_id)
                .values(status=JobStatus.PENDING, failures=jobs.c.failures + 1, **_error_values(_failure(error)))
            )
        return True

    def release(self, claim: Claim, delay: float = 0.0) -> bool:
        """Puts the job back at its old place as if this attempt had not been, to be claimed after ``delay`` seconds."""
        with writing(self._engine) as tx:
            if tx.execute(_freed(_held(claim), available_at=self._clock() + int(delay * 1000))).rowcount == 0:
                return False
            tx.execute(_uncharged([claim.job_id]))
        return True

    def release_worker(self, worker_id: str) -> Sequence[str]:
        """Puts back what a worker holds without a fault of the job, as if this attempt had not been; returns the ids.

        For a worker that was told to stop, or that could not tell the database how its job ended.
        """
        with writing(self._engine) as tx:
            job_ids = tx.scalars(_freed(queue.c.worker_id == worker_id).returning(queue.c.job_id)).all()
            tx.execute(_uncharged(job_ids))
        return job_ids

    def delete(self, job_id: str) -> bool:
        """Removes a job and its queue entry, running or not; False when there is none. Its vectors stay."""
        with writing(self._engine) as tx:
            return tx.execute(jobs.delete().where(jobs.c.job_id == job_id)).rowcount == 1

    def charge_worker(self, worker_id: str) -> Sequence[str]:
        """Takes back the job of a worker that died and charges it with a crash; returns the ids, one or none.

        A job that crashed its worker `MOST_CRASHES` times fails with `worker_crashed`.
        """
        return self._charge_crashes(queue.c.worker_id == worker_id)

    def charge_lease(self, lease_token: str) -> Sequence[str]:
        """The same for a lease that is no longer renewed: its worker hangs, or its machine is gone."""
        return self._charge_crashes(queue.c.lease_token == lease_token)

    def _charge_crashes(self, which: sa.ColumnElement[bool]) -> Sequence[str]:
        with writing(self._engine) as tx:
            job_ids = tx.scalars(sa.select(queue.c.job_id).where(which)).all()
            for job_id in job_ids:
                self._charge_crash(tx, job_id)
        return job_ids

    def _charge_crash(self, tx: sa.Connection, job_id: str) -> None:
        crashes = tx.scalar(
            jobs.update()
            .where(jobs.c.job_id == job_id)
            .values(crashes=jobs.c.crashes + 1, status=JobStatus.PENDING)
            .returning(jobs.c.crashes)
        )
        entry = queue.c.job_id == job_id
        if crashes is not None and crashes >= MOST_CRASHES:
            tx.execute(queue.delete().where(entry))
            message = f"its worker process died {crashes} times while it ran this job"
            _mark_failed(tx, job_id, JobFailure(ErrorCode.WORKER_CRASHED, message, retryable=False), self._clock())
        else:
            tx.execute(_freed(entry))


def _held(claim: Claim) -> sa.ColumnElement[bool]:
    return sa.and_(queue.c.job_id == claim.job_id, queue.c.lease_token == claim.lease_token)


def _take_back(tx: sa.Connection, claim: Claim) -> bool:
    """Removes the job from the queue if the claim still holds."""
    return tx.execute(queue.delete().where(_held(claim))).rowcount == 1


def _freed(which: sa.ColumnElement[bool], available_at: int = 0) -> sa.Update:
    """Makes jobs claimable again, at their old places."""
    return queue.update().where(which).values(lease_token=None, worker_id=None, available_at=available_at)


def _uncharged(job_ids: Collection[str]) -> sa.Update:
    """Takes the attempt back that a claim counted."""
    return (
        jobs.update()
        .where(jobs.c.job_id.in_(job_ids))
        .values(
            status=JobStatus.PENDING,
            started_at=None,
            releases=jobs.c.releases + 1,
            attempts=jobs.c.attempts - 1,
        )
    )


def _of_other_types(without: Collection[str]) -> sa.Select[str]:
    waiting = sa.select(queue.c.job_id)
    if not without:
        return waiting
    return waiting.join(jobs, jobs.c.job_id == queue.c.job_id).where(jobs.c.task_type.not_in(without))


def _mark_failed(tx: sa.Connection, job_id: str, failure: JobFailure, now: int) -> None:
    tx.execute(
        jobs.update()
        .where(jobs.c.job_id == job_id)
        .values(status=JobStatus.FAILED, completed_at=now, **_error_values(failure))
    )


def _failure(error: JobError) -> JobFailure:
    return JobFailure(error.code, error.message, error.retryable)


def _error_values(failure: JobFailure) -> dict[str, str | bool]:
    return {
        "error_code": failure.code,
        "error_message": failure.message,
        "error_retryable": failure.retryable,
    }


def _no_error() -> dict[str, None]:
    return dict.fromkeys(("error_code", "error_message", "error_retryable"))
