"""Jobs: asked for, looked at, removed."""

from dataclasses import asdict
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Header, Path, Response

from media_inference.api.auth import identified, supporters_only
from media_inference.api.openapi import ends_in
from media_inference.api.problems import Problem, ProblemCode
from media_inference.api.schemas import CreatedJob, JobView, NewJobRequest
from media_inference.api.services import Services, Serving
from media_inference.api.tokens import Caller
from media_inference.errors import KeyReused
from media_inference.failpoints import Failpoint, failpoint
from media_inference.jobs.job import Job, JobStatus, JsonObject, NewJob
from media_inference.queue.submission import Origin, RequestKey, Submission

router = APIRouter(tags=["jobs"])

JobId = Annotated[str, Path(description="As the answer to POST /job/{task_type} says.")]


def _existing(job_id: JobId, services: Serving) -> Job:
    job = services.records.get(job_id)
    if job is None:
        raise Problem(ProblemCode.JOB_NOT_FOUND)
    return job


ExistingJob = Annotated[Job, Depends(_existing)]


def _request_key(
    caller: Annotated[Caller | None, Depends(identified)],
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            pattern=r"^[\x21-\x7e]{1,255}$",
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
    responses=ends_in(ProblemCode.UNKNOWN_TASK_TYPE, ProblemCode.IDEMPOTENCY_KEY_REUSED, ProblemCode.STORAGE_FULL)
    | {
        200: {"model": CreatedJob, "headers": _LOCATION, "description": "With `DEDUPE`: a job that is under way."},
        201: {"headers": _LOCATION | _REPLAYED},
    },
)
def create_job(
    task_type: str,
    wanted: NewJobRequest,
    services: Serving,
    response: Response,
    key: Annotated[RequestKey | None, Depends(_request_key)],
) -> CreatedJob:
    """Ask for a task on a picture. The job is on disk before the answer leaves."""
    if task_type not in services.task_types:
        raise Problem(ProblemCode.UNKNOWN_TASK_TYPE, f"The task types are {', '.join(services.task_types)}.")
    services.require_room()
    submission = _submit(services, NewJob(task_type, wanted.media_store_id, wanted.priority), key)
    match submission.origin:
        case Origin.NEW:
            services.on_submit()
        case Origin.REPLAYED:
            response.headers["Idempotent-Replayed"] = "true"
        case Origin.SHARED:
            response.status_code = 200
    job = submission.job
    failpoint(Failpoint.SUBMIT_BEFORE_ANSWER, job.media_store_id)
    response.headers["Location"] = f"/job/{job.job_id}"
    return {
        "job_id": job.job_id,
        "task_type": job.task_type,
        "media_store_id": job.media_store_id,
        "status": job.status,
        "priority": job.priority,
        "created_at": job.created_at,
    }


def _submit(services: Services, new: NewJob, key: RequestKey | None) -> Submission:
    """A key says that the client wants this job of its own; only without one may it share another's."""
    if key is not None:
        try:
            return services.queue.submit_once(new, key)
        except KeyReused:
            raise Problem(ProblemCode.IDEMPOTENCY_KEY_REUSED) from None
    if services.dedupe:
        return services.queue.submit_or_share(new)
    return Submission(services.queue.submit(new), Origin.NEW)


@router.get("/job/{job_id}", responses=ends_in(ProblemCode.JOB_NOT_FOUND))
def get_job(job: ExistingJob, services: Serving) -> JobView:
    """How a job stands, with its result or its error, and whether the media store has it."""
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
def get_face_crop(job: ExistingJob, index: Annotated[int, Path(ge=0)], services: Serving) -> Response:
    """The picture of one face of a completed job."""
    path = services.artifacts.path(job.job_id, f"faces/{index}.jpg") if job.status is JobStatus.COMPLETED else None
    try:
        content = None if path is None else path.read_bytes()
    except FileNotFoundError:  # the job is being removed
        content = None
    if content is None:
        raise Problem(ProblemCode.CROP_NOT_FOUND)
    # It never changes, but it is personal and may be removed: for the asking browser alone, and not for long.
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600, immutable"})
