"""The shapes of a request for many jobs, and of its answer."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, WithJsonSchema
from typing_extensions import TypedDict  # typing's own lacks what pydantic needs before Python 3.12

from media_inference.api.problems import ProblemDocument
from media_inference.api.schemas import IDEMPOTENCY_KEY, CreatedJob, NewJobRequest, StrictRequest

MOST_JOBS_AT_ONCE = 1000


class JobOfMany(NewJobRequest):
    """One of the jobs that are asked for together."""

    model_config = ConfigDict(json_schema_extra={"example": {"task_type": "face_detection", "media_store_id": "7"}})

    task_type: str
    idempotency_key: str | None = Field(
        None,
        pattern=IDEMPOTENCY_KEY,
        description="As the header of POST /job/{task_type}, with which it shares its keys.",
    )


class NewJobsRequest(StrictRequest):
    """Many jobs at once. Each is looked at alone: what is wrong with one is said in its place of the answer."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"jobs": [{"task_type": "face_detection", "media_store_id": "image-789"}]}}
    )

    jobs: list[Annotated[Any, WithJsonSchema(JobOfMany.model_json_schema())]] = Field(
        min_length=1, max_length=MOST_JOBS_AT_ONCE
    )


class AcceptedJob(TypedDict):
    """One of many: ``status`` is what `POST /job/{task_type}` would have answered with."""

    status: Literal[200, 201]
    job: CreatedJob
    replayed: NotRequired[Annotated[bool, Field(description="This is the answer that the same key got before.")]]


class RefusedJob(TypedDict):
    """One of many that came to nothing; the others are not concerned."""

    status: int
    problem: ProblemDocument


class SubmittedJobs(TypedDict):
    """What each of the jobs came to, in the order of the request."""

    results: list[AcceptedJob | RefusedJob]
