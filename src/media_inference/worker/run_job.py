"""One attempt at one job, from the claim to the settled outcome. Read this first."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from media_inference.artifacts.store import ArtifactStore
from media_inference.errors import (
    DatabaseUnavailable,
    DependencyAway,
    ErrorCode,
    JobError,
    PermanentError,
    TransientError,
)
from media_inference.failpoints import Failpoint, failpoint
from media_inference.jobs.job import Claim
from media_inference.jobs.outcome import Findings
from media_inference.jobs.retry import Backoff
from media_inference.jobs.urgency import working_at
from media_inference.media.reader import MediaReader
from media_inference.queue.changes import Settlement
from media_inference.queue.job_queue import JobQueue
from media_inference.tasks.task import Task
from media_inference.tasks.toolbox import Toolbox
from media_inference.worker.settler import Settler

log = structlog.get_logger()

# During an outage nothing is claimed, so a job that was given back so often is what the dependency falls over.
MOST_RELEASES = 50


class Ending(StrEnum):
    """How an attempt ended.

    ``released``: a dependency is away, and the job waits uncharged. ``dropped``: it was deleted, or given to another.
    """

    SETTLED = "settled"
    RETRIED = "retried"
    RELEASED = "released"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class JobRunner:
    """Runs claimed jobs."""

    queue: JobQueue
    media: MediaReader
    tasks: Mapping[str, Task]
    toolbox: Toolbox
    artifacts: ArtifactStore
    settler: Settler
    max_retries: int
    on_away: Callable[[DependencyAway], None]
    backoff: Backoff = field(default_factory=Backoff)
    chance: Callable[[], float] = random.random

    def run(self, claim: Claim, claimed_at: float | None = None) -> Ending:
        """Finds, settles, and says how it ended; every error of the attempt leaves through `_wait` or `_give_up`.

        ``claimed_at`` (now): the monotonic time from which on a fetch of its media item serves this job. Raises
        `DatabaseUnavailable` when nothing can be recorded; the job is not to be charged for that.
        """
        try:
            with working_at(claim.priority):
                return self._settle(claim, self._find(claim, claimed_at))
        except DatabaseUnavailable:
            raise
        except DependencyAway as error:
            return self._wait(claim, error)
        except JobError as error:
            return self._give_up(claim, error)
        except MemoryError:
            return self._give_up(claim, TransientError(ErrorCode.INTERNAL, "the worker ran out of memory"))
        except Exception:
            log.exception("job.error", action="run_job", job_id=claim.job_id, task_type=claim.task_type)
            return self._give_up(
                claim, TransientError(ErrorCode.INTERNAL, "an unexpected error; see the service's log")
            )

    def _find(self, claim: Claim, claimed_at: float | None) -> Findings:
        task = self.tasks.get(claim.task_type)
        if task is None:
            raise PermanentError(ErrorCode.INTERNAL, f"this worker does not know the task {claim.task_type}")
        with self.media.open(claim.media_store_id, since=claimed_at) as media:
            failpoint(Failpoint.FETCH_AFTER, claim.media_store_id)
            findings = task.find(claim, media, self.toolbox)
        failpoint(Failpoint.FIND_AFTER, claim.media_store_id)
        return findings

    def _settle(self, claim: Claim, findings: Findings) -> Ending:
        staged = self.artifacts.stage(claim.job_id, claim.lease_token, findings.artifacts)
        try:
            failpoint(Failpoint.STAGE_AFTER, claim.media_store_id)
            accepted = self.settler.settle(Settlement(claim, findings, staged.promote))
        finally:
            staged.discard()
        return Ending.SETTLED if accepted else Ending.DROPPED

    def _wait(self, claim: Claim, error: DependencyAway) -> Ending:
        self.on_away(error)
        if claim.releases >= MOST_RELEASES:
            return self._give_up(claim, error)
        released = self.queue.release(claim, delay=error.retry_after or 0.0)
        return Ending.RELEASED if released else Ending.DROPPED

    def _give_up(self, claim: Claim, error: JobError) -> Ending:
        if isinstance(error, TransientError) and claim.failures < self.max_retries:
            delay = max(self.backoff.delay(claim.failures + 1, self.chance()), error.retry_after or 0.0)
            held, ending = self.queue.retry(claim, error, delay), Ending.RETRIED
        else:
            held, ending = self.queue.fail(claim, error), Ending.FAILED
        return ending if held else Ending.DROPPED
