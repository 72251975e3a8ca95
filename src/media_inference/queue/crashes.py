"""What the death of a worker costs the jobs that it ran; part of the transaction that takes them back.

A worker runs several at once, and its death does not say which was to blame. Only a job that ran by itself is charged.
Several go back to their places uncharged, marked to run alone; the one to blame then shows itself.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from media_inference.errors import ErrorCode
from media_inference.jobs.job import JobFailure, JobStatus
from media_inference.queue.changes import freed, mark_failed, uncharged
from media_inference.queue.events import SUBJECT
from media_inference.queue.tables import jobs, queue

MOST_CRASHES = 3

_LAST = sa.select(sa.func.max(queue.c.position) + 1).scalar_subquery()


def charge(tx: sa.Connection, job_ids: Sequence[str], now: int) -> Sequence[str]:
    """Takes back all jobs of a worker that died; returns the one that was charged, if one was."""
    if len(job_ids) > 1:
        tx.execute(freed(queue.c.job_id.in_(job_ids)).values(alone=True))
        tx.execute(uncharged(job_ids))
        return ()
    for job_id in job_ids:
        _charge(tx, job_id, now)
    return job_ids


def _charge(tx: sa.Connection, job_id: str, now: int) -> None:
    """Puts the job at the end of its queue, or ends it at the last crash that it may have."""
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
        mark_failed(tx, job, job.attempts, failure, now)
    else:
        tx.execute(freed(entry).values(position=_LAST, alone=True))
