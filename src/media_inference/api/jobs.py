"""Jobs: asked for, looked at, removed."""

from dataclasses import asdict
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Header, Path, Response
from fastapi.concurrency import run_in_threadpool

from media_inference.api.auth import identified, supporters_only
from media_inference.api.caller import Caller
from media_inference.api.group_commit import Submitting
from media_inference.api.openapi import ends_in
from media_inference.api.problems import Problem, ProblemCode
from media_inference.api.schemas import IDEMPOTENCY_KEY, CreatedJob, JobView, NewJobRequest
from media_inference.api.services import Services, Serving
from media_inference.api.submit_one import submit_one
from media_inference.failpoints import Failpoint, failpoint
from media_inference.jobs.job import Job, JobStatus, JsonObject, NewJob
from media_inference.queue.submission import RequestKey

router = APIRouter(tags=["jobs"])

JobId = Annotated[str, Path(description="As the answer to POST /job/{task_type} says.")]


def _existing(job_id: str, services: Services) -> Job:
    job = services.records.get(job_id)
    if job is None:
        raise Problem(ProblemCode.JOB_NOT_FOUND)
    return job


async def _request_key(
    caller: Annotated[Caller | None, Depends(identified)],
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            pattern=IDEMPOTENCY_KEY,
            description="1 to 255 visible ASCII characters. The same key with the same request gets the same answer.",
        ),
    ] = None,
) -> RequestKey | None:
    return None if key is None else RequestKey("" if caller is None else caller.subject, key)


_LOCATION = {"Location": {"description": "Where the job is.", "schema": {"type": "string"}}}
_REPLAYED = {
    "Idempotent-Replayed": {
        "description": "This is the answer that the same key got before.",
        "schema": {"type": "string", "const": "true"},
    }
}


@router.post(
    "/job/{task_type}",
    status_code=201,
    dependencies=[supporters_only],
    responses=ends_in(
        ProblemCode.UNKNOWN_TASK_TYPE,
        ProblemCode.IDEMPOTENCY_KEY_REUSED,
        ProblemCode.QUEUE_FULL,
        ProblemCode.STORAGE_FULL,
    )
    | {
        200: {"model": CreatedJob, "headers": _LOCATION, "description": "With `DEDUPE`: a job that is under way."},
        201: {"headers": _LOCATION | _REPLAYED},
    },
)
async def create_job(
    task_type: str,
    wanted: NewJobRequest,
    services: Serving,
    submitting: Submitting,
    *,
    response: Response,
    key: Annotated[RequestKey | None, Depends(_request_key)],
) -> CreatedJob:
    """Ask for a task on a picture. The job is on disk before the answer leaves."""
    if task_type not in services.task_types:
        raise Problem(ProblemCode.UNKNOWN_TASK_TYPE, unknown_task_type(services))
    answer = await submit_one(NewJob(task_type, wanted.media_store_id, wanted.priority), key, services, submitting)
    response.status_code = answer.status
    response.headers.update(answer.headers)
    return answer.job


def unknown_task_type(services: Services) -> str:
    """Which ones there are, in a sentence."""
    return f"The task types are {', '.join(services.task_types)}."


@router.get("/job/{job_id}", responses=ends_in(ProblemCode.JOB_NOT_FOUND))
async def get_job(job_id: JobId, services: Serving) -> JobView:
    """How a job stands, with its result or its error, and whether the media store has it."""
    # In one visit to a thread. The framework would make three, and each waits its turn on a busy process.
    return await run_in_threadpool(_view, job_id, services)


def _view(job_id: str, services: Services) -> JobView:
    job = _existing(job_id, services)
    sync = None if services.sync is None else services.sync.of_job(job.job_id)
    view = asdict(job) | {"sync": None if sync is None else _without_gaps(asdict(sync))}
    return cast("JobView", _without_gaps(view))


def _without_gaps(values: JsonObject) -> JsonObject:
    return {name: value for name, value in values.items() if value is not None}


@router.delete(
    "/job/{job_id}",
    status_code=204,
    dependencies=[supporters_only],
    responses=ends_in(ProblemCode.JOB_NOT_FOUND),
)
def delete_job(job_id: JobId, services: Serving) -> None:
    """Remove a job, also a running one, and its files. Its vectors belong to the picture and stay."""
    if not services.queue.delete(job_id):
        raise Problem(ProblemCode.JOB_NOT_FOUND)
    services.artifacts.remove(job_id)
    failpoint(Failpoint.DELETE_AFTER_FILES, job_id)


@router.get(
    "/job/{job_id}/faces/{index}.jpg",
    response_class=Response,
    responses=ends_in(ProblemCode.NOT_FOUND, ProblemCode.JOB_NOT_FOUND, ProblemCode.CROP_NOT_FOUND)
    | {200: {"content": {"image/jpeg": {}}}},
)
def get_face_crop(job_id: JobId, index: Annotated[int, Path(ge=0)], services: Serving) -> Response:
    """The picture of one face of a completed job."""
    job = _existing(job_id, services)
    path = services.artifacts.path(job.job_id, f"faces/{index}.jpg") if job.status is JobStatus.COMPLETED else None
    try:
        content = None if path is None else path.read_bytes()
    except FileNotFoundError:  # the job is being removed
        content = None
    if content is None:
        raise Problem(ProblemCode.CROP_NOT_FOUND)
    # It never changes, but it is personal and may be removed: for the asking browser alone, and not for long.
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600, immutable"})
