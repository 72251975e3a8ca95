"""Many jobs asked for at once, each answered for itself."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import ValidationError

from media_inference.api.auth import identified, supporters_only
from media_inference.api.caller import Caller
from media_inference.api.group_commit import Submitting
from media_inference.api.jobs import unknown_task_type
from media_inference.api.many_jobs_schemas import AcceptedJob, JobOfMany, NewJobsRequest, RefusedJob, SubmittedJobs
from media_inference.api.openapi import ends_in
from media_inference.api.problems import MEANINGS, ProblemCode, problem_document
from media_inference.api.services import Services, Serving
from media_inference.api.submit_one import REFUSALS, created_job
from media_inference.api.validation import sentences
from media_inference.failpoints import Failpoint, failpoint
from media_inference.jobs.job import NewJob
from media_inference.queue.submission import Answer, Origin, RequestKey, Submission, Wanted

router = APIRouter(tags=["jobs"])


@router.post("/jobs", dependencies=[supporters_only], responses=ends_in(ProblemCode.STORAGE_FULL))
async def create_jobs(
    request: NewJobsRequest,
    services: Serving,
    submitting: Submitting,
    caller: Annotated[Caller | None, Depends(identified)],
) -> SubmittedJobs:
    """Ask for up to 1,000 jobs. Those that were accepted are on disk before the answer leaves, in their order."""
    subject = "" if caller is None else caller.subject
    looked_at = [_wanted(item, services, subject) for item in request.jobs]
    wanted = [one for one in looked_at if isinstance(one, Wanted)]
    answers = iter(await submitting.submit(wanted)) if wanted else iter(())
    results = [_result(next(answers)) if isinstance(one, Wanted) else one for one in looked_at]
    services.on_submit()
    failpoint(Failpoint.SUBMIT_BEFORE_ANSWER)
    return {"results": results}


def _wanted(item: Any, services: Services, subject: str) -> Wanted | RefusedJob:
    try:
        job = JobOfMany.model_validate(item)
    except ValidationError as error:
        return _refused(ProblemCode.INVALID_REQUEST, sentences([_in_its_place(found) for found in error.errors()]))
    if job.task_type not in services.task_types:
        return _refused(ProblemCode.UNKNOWN_TASK_TYPE, unknown_task_type(services))
    key = None if job.idempotency_key is None else RequestKey(subject, job.idempotency_key)
    return Wanted(NewJob(job.task_type, job.media_store_id, job.priority), key, share=services.dedupe)


def _in_its_place(error: Mapping[str, Any]) -> dict[str, Any]:
    """An error of one item, as if it were one of a body."""
    return {**error, "loc": ("body", *error["loc"])}


def _result(answer: Answer) -> AcceptedJob | RefusedJob:
    if not isinstance(answer, Submission):
        return _refused(REFUSALS[type(answer)])
    accepted: AcceptedJob = {
        "status": 200 if answer.origin is Origin.SHARED else 201,
        "job": created_job(answer.job),
    }
    if answer.origin is Origin.REPLAYED:
        accepted["replayed"] = True
    return accepted


def _refused(code: ProblemCode, detail: str | None = None) -> RefusedJob:
    return {"status": MEANINGS[code].status, "problem": problem_document(code, detail)}
