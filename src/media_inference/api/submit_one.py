"""A request for one job -> its answer, however the request came in."""

from collections.abc import Mapping
from dataclasses import dataclass

from media_inference.api.group_commit import GroupCommit
from media_inference.api.problems import Problem, ProblemCode
from media_inference.api.schemas import CreatedJob
from media_inference.api.services import Services
from media_inference.errors import KeyReused, QueueFull
from media_inference.failpoints import Failpoint, failpoint
from media_inference.jobs.job import Job, NewJob
from media_inference.queue.submission import Answer, Origin, RequestKey, Submission, Wanted

REFUSALS: Mapping[type[Exception], ProblemCode] = {
    KeyReused: ProblemCode.IDEMPOTENCY_KEY_REUSED,
    QueueFull: ProblemCode.QUEUE_FULL,
}
"""Why a request came to nothing."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a request for a job that is there now."""

    status: int
    headers: Mapping[str, str]
    job: CreatedJob


async def submit_one(new: NewJob, key: RequestKey | None, services: Services, submitting: GroupCommit) -> Accepted:
    """The answer, when the job is on disk. Raises `Problem`, and what the group commit raises."""
    (answer,) = await submitting.submit([Wanted(new, key, share=services.dedupe)])
    submission = _accepted(answer)
    job = submission.job
    headers = {"Location": f"/job/{job.job_id}"}
    match submission.origin:
        case Origin.NEW:
            services.on_submit()
        case Origin.REPLAYED:
            headers["Idempotent-Replayed"] = "true"
    failpoint(Failpoint.SUBMIT_BEFORE_ANSWER, job.media_store_id)
    return Accepted(200 if submission.origin is Origin.SHARED else 201, headers, created_job(job))


def _accepted(answer: Answer) -> Submission:
    if not isinstance(answer, Submission):
        raise Problem(REFUSALS[type(answer)])
    return answer


def created_job(job: Job) -> CreatedJob:
    """A job as the answer to its request shows it."""
    return {
        "job_id": job.job_id,
        "task_type": job.task_type,
        "media_store_id": job.media_store_id,
        "status": job.status,
        "priority": job.priority,
        "created_at": job.created_at,
    }
