"""Every change to a job, each in one transaction.

::

    submit ──> pending ──claim──> processing ──settle──> completed, at once or when its vectors are published
                  ▲                   │ ├────fail───> failed
                  └─ retry, release ──┘ └─charge_*──> pending, to run alone, or failed at the third crash alone

A claim carries a fresh random lease token, and whatever a worker does with the job later names it: when no row has that
token any more, the worker has lost its authority, the method returns False and nothing has changed. What listeners are
told of a change is written with it (`add_event`), and ``on_event`` rings for them after the commit.
"""

from collections.abc import Callable, Collection, Sequence

import sqlalchemy as sa

from media_inference.errors import JobError
from media_inference.failpoints import Failpoint, failpoint
from media_inference.jobs.event import EventType
from media_inference.jobs.job import Claim, Job, JobStatus, NewJob
from media_inference.jobs.outcome import Findings
from media_inference.queue.changes import (
    Settlement,
    error_values,
    failure_of,
    freed,
    held_by,
    mark_failed,
    put_back,
    take_back,
    uncharged,
)
from media_inference.queue.clock import Clock, wall_clock
from media_inference.queue.crashes import charge
from media_inference.queue.engine import writing
from media_inference.queue.events import SUBJECT, add_event
from media_inference.queue.intake import QUEUE_LIMIT, Intake
from media_inference.queue.settling import Settling
from media_inference.queue.submission import Answer, RequestKey, Submission, Wanted
from media_inference.queue.tables import jobs, queue
from media_inference.queue.turns import Wish, next_jobs, take


class JobQueue:
    """The queue as the API and the workers use it.

    ``uploads``: results are wanted by the media store, so a settled job leaves a row in media_store_sync_status.
    ``limit``: as many jobs may wait to be claimed; a job that is put back finds its place above it too.
    """

    def __init__(
        self,
        engine: sa.Engine,
        clock: Clock = wall_clock,
        *,
        uploads: bool = False,
        limit: int = QUEUE_LIMIT,
        on_event: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._uploads = uploads
        self._limit = limit
        self._on_event = on_event

    def submit(self, new: NewJob) -> Job:
        """Writes a new job; it is on disk on return. Raises `QueueFull`."""
        return self._submit(Wanted(new)).job

    def submit_once(self, new: NewJob, key: RequestKey) -> Submission:
        """The same, but for a key that came before: then the job is the one that it made. Raises `KeyReused` too."""
        return self._submit(Wanted(new, key))

    def submit_or_share(self, new: NewJob) -> Submission:
        """The same, unless a job for this task and media item is under way: then that one, if need be more urgent."""
        return self._submit(Wanted(new, share=True))

    def _submit(self, wanted: Wanted) -> Submission:
        (answer,) = self.submit_all([wanted])
        if not isinstance(answer, Submission):
            raise answer
        return answer

    def submit_all(self, wanted: Sequence[Wanted]) -> list[Answer]:
        """Answers requests in their order, in one transaction; what they come to is on disk on return.

        One that is refused takes nothing from the others.
        """
        with writing(self._engine) as tx:
            answers = Intake(tx, self._clock(), self._limit).answer(wanted)
            for one in wanted:
                failpoint(Failpoint.SUBMIT_BEFORE_COMMIT, one.new.media_store_id)
        for one in wanted:
            failpoint(Failpoint.SUBMIT_AFTER_COMMIT, one.new.media_store_id)
        self._on_event()
        return answers

    def claim(self, worker_id: str, without: Collection[str] = ()) -> Claim | None:
        """The job whose turn it is, as `claim_some`, for a worker that runs nothing else."""
        return next(iter(self.claim_some(worker_id, Wish(without=without))), None)

    def claim_some(self, worker_id: str, wish: Wish) -> list[Claim]:
        """The jobs whose turn it is: highest priority first, then first in, first out; each with a token of its own.

        They are claimed in one transaction, and settled, retried or released one by one or together.
        """
        with writing(self._engine) as tx:
            claims = self._take(tx, worker_id, wish)
        _strike_after([], [], claims)
        if claims:
            self._on_event()
        return claims

    def _take(self, tx: sa.Connection, worker_id: str, wish: Wish) -> list[Claim]:
        now = self._clock()  # after whoever had the write lock before
        claims = take(tx, next_jobs(tx, wish, now), worker_id, now)
        for claim in claims:
            failpoint(Failpoint.CLAIM_BEFORE_COMMIT, claim.job_id)
        return claims

    def renew(self, *claims: Claim) -> int:
        """Tells whoever watches that the worker of these jobs is alive; returns how many of them it still has."""
        tokens = [claim.lease_token for claim in claims]
        with writing(self._engine) as tx:
            beat = queue.update().where(queue.c.lease_token.in_(tokens)).values(lease_beat=queue.c.lease_beat + 1)
            return tx.execute(beat).rowcount

    def settle(self, claim: Claim, findings: Findings, promote_files: Callable[[], None]) -> bool:
        """Accepts what a task found: result, embeddings, files and outbox entry become true together.

        ``promote_files`` puts the files in place; it runs while the claim is known to hold, just before the commit.
        The job is completed at once when nothing has to be published. Raises `PermanentError` (`model_unavailable`)
        when the collection holds vectors of another model, `TransientError` (`storage_full`) when there is no room.
        """
        (ending,) = self.settle_some([Settlement(claim, findings, promote_files)])
        if isinstance(ending, JobError):
            raise ending
        return ending

    def settle_some(self, settlements: Sequence[Settlement]) -> list[bool | JobError]:
        """The same for several outcomes in one transaction, in their order; what one raises is its answer.

        Each is fenced by its own lease token, and refused alone.
        """
        with writing(self._engine) as tx:
            endings = self._settle(tx, settlements)
        _strike_after(settlements, endings, [])
        self._on_event()
        return endings

    def settle_and_claim(
        self, settlements: Sequence[Settlement], worker_id: str, wish: Wish
    ) -> tuple[list[bool | JobError], list[Claim]]:
        """`settle_some` and then `claim_some`, in one transaction: who goes from job to job waits for one sync each."""
        with writing(self._engine) as tx:
            endings = self._settle(tx, settlements)
            claims = self._take(tx, worker_id, wish)
        _strike_after(settlements, endings, claims)
        self._on_event()
        return endings, claims

    def _settle(self, tx: sa.Connection, settlements: Sequence[Settlement]) -> list[bool | JobError]:
        return Settling(tx, self._clock(), uploads=self._uploads).settle(settlements)

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

    def release_worker(self, worker_id: str, but: Collection[Claim] = ()) -> Sequence[str]:
        """Puts back what a worker holds without a fault of the job, as if this attempt had not been; returns the ids.

        For a worker that was told to stop, that could not tell the database how its jobs ended, or that ends over some
        of them (``but``).
        """
        which = sa.and_(held_by(sa.literal(worker_id)), queue.c.job_id.not_in([claim.job_id for claim in but]))
        with writing(self._engine) as tx:
            job_ids = tx.scalars(freed(which).returning(queue.c.job_id)).all()
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
        """Takes back the jobs of a worker that died; charges the one that ran by itself, and returns its id if one did.

        It goes to the end of its queue, so that none waits behind it that was there before; a job that crashed its
        worker too often (`crashes.MOST_CRASHES`) fails with `worker_crashed`.
        """
        return self._charge(sa.literal(worker_id))

    def charge_lease(self, lease_token: str) -> Sequence[str]:
        """The same for the worker whose lease is no longer renewed: it hangs, or its machine is gone."""
        return self._charge(sa.select(queue.c.worker_id).where(queue.c.lease_token == lease_token).scalar_subquery())

    def _charge(self, worker_id: sa.ColumnElement[str]) -> Sequence[str]:
        with writing(self._engine) as tx:
            taken = tx.scalars(sa.select(queue.c.job_id).where(held_by(worker_id))).all()
            charged = charge(tx, taken, self._clock())
            for job_id in charged:
                failpoint(Failpoint.CHARGE_BEFORE_COMMIT, job_id)
        for job_id in charged:
            failpoint(Failpoint.CHARGE_AFTER_COMMIT, job_id)
        self._on_event()
        return charged


def _strike_after(
    settlements: Sequence[Settlement], endings: Sequence[bool | JobError], claims: Sequence[Claim]
) -> None:
    """Where a test may strike once the transaction is committed."""
    for settlement, ending in zip(settlements, endings, strict=True):
        if ending is True:
            failpoint(Failpoint.SETTLE_AFTER_COMMIT, settlement.claim.media_store_id)
    for claim in claims:
        failpoint(Failpoint.CLAIM_AFTER_COMMIT, claim.job_id)
