"""Every change to a job, each in one transaction.

::

    submit ──> pending ──claim──> processing ──settle──> completed, at once or when its vectors are published
                  ▲                   │ ├────fail───> failed
                  └─ retry, release ──┘ └─charge_*──> pending, or failed at the third crash

A claim carries a fresh random lease token, and whatever a worker does with the job later names it: when no row has that
token any more, the worker has lost its authority, the method returns False and nothing has changed. What listeners are
told of a change is written with it (`add_event`), and ``on_event`` rings for them after the commit.
"""

import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Any

import sqlalchemy as sa

from media_inference.errors import ErrorCode, JobError
from media_inference.failpoints import Failpoint, failpoint
from media_inference.jobs.event import EventType
from media_inference.jobs.job import Claim, Job, JobFailure, JobStatus, NewJob
from media_inference.jobs.outcome import Findings
from media_inference.queue import outbox, sync
from media_inference.queue.changes import (
    error_values,
    failure_of,
    freed,
    held,
    mark_failed,
    no_error,
    put_back,
    take_back,
    uncharged,
    waiting_jobs,
)
from media_inference.queue.clock import Clock, wall_clock
from media_inference.queue.engine import writing
from media_inference.queue.events import SUBJECT, add_event, add_started
from media_inference.queue.submission import Origin, RequestKey, Submission, add_job, add_job_once, find_live_job
from media_inference.queue.tables import jobs, queue

MOST_CRASHES = 3

_LAST = sa.select(sa.func.max(queue.c.position) + 1).scalar_subquery()


class JobQueue:
    """The queue as the API and the workers use it.

    ``uploads``: results are wanted by the media store, so a settled job leaves a row in media_store_sync_status.
    """

    def __init__(
        self,
        engine: sa.Engine,
        clock: Clock = wall_clock,
        *,
        uploads: bool = False,
        on_event: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._uploads = uploads
        self._on_event = on_event

    def submit(self, new: NewJob) -> Job:
        """Writes a new job; it is on disk on return."""
        with writing(self._engine) as tx:
            job = add_job(tx, new, self._clock())
            failpoint(Failpoint.SUBMIT_BEFORE_COMMIT, new.media_store_id)
        failpoint(Failpoint.SUBMIT_AFTER_COMMIT, new.media_store_id)
        self._on_event()
        return job

    def submit_once(self, new: NewJob, key: RequestKey) -> Submission:
        """The same, but for a key that came before: then the job is the one that it made. Raises `KeyReused`."""
        with writing(self._engine) as tx:
            submission = add_job_once(tx, new, key, self._clock())
            failpoint(Failpoint.SUBMIT_BEFORE_COMMIT, new.media_store_id)
        failpoint(Failpoint.SUBMIT_AFTER_COMMIT, new.media_store_id)
        self._on_event()
        return submission

    def submit_or_share(self, new: NewJob) -> Submission:
        """The same, unless a job for this task and media item is under way: then that one, if need be more urgent."""
        with writing(self._engine) as tx:
            live = find_live_job(tx, new)
            job = live or add_job(tx, new, self._clock())
            failpoint(Failpoint.SUBMIT_BEFORE_COMMIT, new.media_store_id)
        failpoint(Failpoint.SUBMIT_AFTER_COMMIT, new.media_store_id)
        self._on_event()
        return Submission(job, Origin.NEW if live is None else Origin.SHARED)

    def claim(self, worker_id: str, without: Collection[str] = ()) -> Claim | None:
        """The job whose turn it is: highest priority first, then first in, first out. Counts the attempt.

        ``without``: task types that can't be worked on now.
        """
        now, token = self._clock(), secrets.token_hex(16)
        with writing(self._engine) as tx:
            job_id = tx.scalar(
                waiting_jobs(without)
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
                .returning(*SUBJECT, *jobs.c["attempts", "failures", "releases"])
            ).one()
            claim = _claim(row, token)
            add_started(tx, claim, now)
            failpoint(Failpoint.CLAIM_BEFORE_COMMIT, job_id)
        failpoint(Failpoint.CLAIM_AFTER_COMMIT, job_id)
        self._on_event()
        return claim

    def renew(self, claim: Claim) -> bool:
        """Tells whoever watches that the job's worker is alive: raises the lease's counter."""
        with writing(self._engine) as tx:
            beat = queue.update().where(held(claim)).values(lease_beat=queue.c.lease_beat + 1)
            return tx.execute(beat).rowcount == 1

    def settle(self, claim: Claim, findings: Findings, promote_files: Callable[[], None]) -> bool:
        """Accepts what a task found: result, embeddings, files and outbox entry become true together.

        ``promote_files`` puts the files in place; it runs while the claim is known to hold, just before the commit.
        The job is completed at once when nothing has to be published. Raises `PermanentError` (`model_unavailable`)
        when the collection holds vectors of another model, `TransientError` (`storage_full`) when there is no room.
        """
        now = self._clock()
        with writing(self._engine) as tx:
            if not take_back(tx, claim):
                return False
            if findings.embedding_set is not None:
                outbox.add_embedding_set(tx, claim, findings.embedding_set, now)
            if self._uploads:
                sync.add_upload(tx, claim.job_id, claim.media_store_id, now)
            failpoint(Failpoint.SETTLE_BEFORE_PROMOTE, claim.media_store_id)
            promote_files()
            failpoint(Failpoint.SETTLE_AFTER_PROMOTE, claim.media_store_id)
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
                    **no_error(),
                )
            )
            if completed:
                add_event(tx, EventType.COMPLETED, claim, now, attempt=claim.attempt)
        failpoint(Failpoint.SETTLE_AFTER_COMMIT, claim.media_store_id)
        self._on_event()
        return True

    def fail(self, claim: Claim, error: JobError) -> bool:
        """Ends the job as failed."""
        with writing(self._engine) as tx:
            if not take_back(tx, claim):
                return False
            mark_failed(tx, claim, claim.attempt, failure_of(error), self._clock())
            failpoint(Failpoint.FAIL_BEFORE_COMMIT, claim.media_store_id)
        failpoint(Failpoint.FAIL_AFTER_COMMIT, claim.media_store_id)
        self._on_event()
        return True

    def retry(self, claim: Claim, error: JobError, delay: float) -> bool:
        """Puts the job back at its old place, to be claimed after ``delay`` seconds; counts a failure."""
        with writing(self._engine) as tx:
            if not put_back(tx, claim, available_at=self._clock() + int(delay * 1000)):
                return False
            tx.execute(
                jobs.update()
                .where(jobs.c.job_id == claim.job_id)
                .values(status=JobStatus.PENDING, failures=jobs.c.failures + 1, **error_values(failure_of(error)))
            )
            failpoint(Failpoint.RETRY_BEFORE_COMMIT, claim.media_store_id)
        failpoint(Failpoint.RETRY_AFTER_COMMIT, claim.media_store_id)
        return True

    def release(self, claim: Claim, delay: float = 0.0) -> bool:
        """Puts the job back at its old place as if this attempt had not been, to be claimed after ``delay`` seconds."""
        with writing(self._engine) as tx:
            if not put_back(tx, claim, available_at=self._clock() + int(delay * 1000)):
                return False
            tx.execute(uncharged([claim.job_id]))
        return True

    def release_worker(self, worker_id: str) -> Sequence[str]:
        """Puts back what a worker holds without a fault of the job, as if this attempt had not been; returns the ids.

        For a worker that was told to stop, or that could not tell the database how its job ended.
        """
        with writing(self._engine) as tx:
            job_ids = tx.scalars(freed(queue.c.worker_id == worker_id).returning(queue.c.job_id)).all()
            tx.execute(uncharged(job_ids))
        return job_ids

    def delete(self, job_id: str) -> bool:
        """Removes a job and its queue entry, running or not; False when there is none. Its vectors stay."""
        with writing(self._engine) as tx:
            gone = tx.execute(jobs.delete().where(jobs.c.job_id == job_id).returning(*SUBJECT)).one_or_none()
            if gone is None:
                return False
            add_event(tx, EventType.DELETED, gone, self._clock())
            failpoint(Failpoint.DELETE_BEFORE_COMMIT, job_id)
        failpoint(Failpoint.DELETE_AFTER_COMMIT, job_id)
        self._on_event()
        return True

    def charge_worker(self, worker_id: str) -> Sequence[str]:
        """Takes back the job of a worker that died and charges it with a crash; returns the ids, one or none.

        It goes to the end of its queue, so that none waits behind it that was there before; a job that crashed its
        worker `MOST_CRASHES` times fails with `worker_crashed`.
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
                failpoint(Failpoint.CHARGE_BEFORE_COMMIT, job_id)
        for job_id in job_ids:
            failpoint(Failpoint.CHARGE_AFTER_COMMIT, job_id)
        self._on_event()
        return job_ids

    def _charge_crash(self, tx: sa.Connection, job_id: str) -> None:
        job = tx.execute(
            jobs.update()
            .where(jobs.c.job_id == job_id)
            .values(crashes=jobs.c.crashes + 1, status=JobStatus.PENDING)
            .returning(*SUBJECT, *jobs.c["crashes", "attempts"])
        ).one()
        entry = queue.c.job_id == job_id
        if job.crashes >= MOST_CRASHES:
            tx.execute(queue.delete().where(entry))
            message = f"its worker process died {job.crashes} times while it ran this job"
            failure = JobFailure(ErrorCode.WORKER_CRASHED, message, retryable=False)
            mark_failed(tx, job, job.attempts, failure, self._clock())
        else:
            tx.execute(freed(entry).values(position=_LAST))


def _claim(job: sa.Row[*tuple[Any, ...]], lease_token: str) -> Claim:
    return Claim(
        job_id=job.job_id,
        task_type=job.task_type,
        media_store_id=job.media_store_id,
        priority=job.priority,
        lease_token=lease_token,
        attempt=job.attempts,
        failures=job.failures,
        releases=job.releases,
    )
