"""The statements that changes to a job are made of; each is part of the transaction of `JobQueue` that uses it."""

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from media_inference.errors import JobError
from media_inference.jobs.event import EventType
from media_inference.jobs.job import Claim, JobFailure, JobStatus
from media_inference.jobs.outcome import Findings
from media_inference.queue.counters import CounterName, count_one
from media_inference.queue.events import Subject, add_event
from media_inference.queue.tables import jobs, queue


def held(claim: Claim) -> sa.ColumnElement[bool]:
    """Where the claim still holds."""
    return sa.and_(queue.c.job_id == claim.job_id, queue.c.lease_token == claim.lease_token)


def take_back(tx: sa.Connection, claim: Claim) -> bool:
    """Removes the job from the queue if the claim still holds; counts an attempt that is dropped if not."""
    return _by_its_holder(tx, queue.delete().where(held(claim)))


def put_back(tx: sa.Connection, claim: Claim, available_at: int) -> bool:
    """Makes the job claimable again, at its old place, if the claim still holds; counts as `take_back` does.

    Its attempt came to an end of its own, so it need no longer run alone.
    """
    return _by_its_holder(tx, freed(held(claim), available_at).values(alone=False))


def _by_its_holder(tx: sa.Connection, change: sa.Update | sa.Delete) -> bool:
    done = tx.execute(change).rowcount == 1
    if not done:
        count_one(tx, CounterName.ATTEMPTS_DROPPED)
    return done


def held_by(worker_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """What a worker holds, by the index of tokens: it has all that is held by anybody, which is little."""
    return sa.and_(queue.c.lease_token.is_not(None), queue.c.worker_id == worker_id)


def freed(which: sa.ColumnElement[bool], available_at: int = 0) -> sa.Update:
    """Makes jobs claimable again, at their old places."""
    return queue.update().where(which).values(lease_token=None, worker_id=None, available_at=available_at)


def uncharged(job_ids: Collection[str]) -> sa.Update:
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


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one claim comes to. ``promote_files`` puts its files in place, and may raise a `JobError`."""

    claim: Claim
    findings: Findings
    promote_files: Callable[[], None]


def mark_failed(tx: sa.Connection, job: Subject, attempt: int, failure: JobFailure, now: int) -> None:
    """Ends a job as failed, and tells why."""
    tx.execute(
        jobs.update()
        .where(jobs.c.job_id == job.job_id)
        .values(status=JobStatus.FAILED, completed_at=now, **error_values(failure))
    )
    add_event(tx, EventType.FAILED, job, now, attempt=attempt, error=asdict(failure))


def failure_of(error: JobError) -> JobFailure:
    """What the client sees of an error."""
    return JobFailure(error.code, error.message, error.retryable)


def error_values(failure: JobFailure) -> dict[str, str | bool]:
    """The columns of a job's error."""
    return {
        "error_code": failure.code,
        "error_message": failure.message,
        "error_retryable": failure.retryable,
    }
