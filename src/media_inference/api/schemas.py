"""The shapes of requests and answers.

Requests are strict models: unknown fields and wrong types are refused. Answers are typed dictionaries: a key that has
no value is not there.
"""

from typing import Annotated, Any, Literal, NotRequired, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator
from typing_extensions import TypedDict  # typing's own lacks what pydantic needs before Python 3.12

from media_inference.api.fields import Coordinate, MediaStoreId, SearchPointId, SearchText, WholeNumber
from media_inference.errors import ErrorCode
from media_inference.jobs.job import (
    DEFAULT_PRIORITY,
    FINISHED,
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    JobStatus,
)
from media_inference.models.kinds import DIMENSION

IDEMPOTENCY_KEY = r"^[\x21-\x7e]{1,255}$"
Milliseconds = Annotated[int, Field(description="Milliseconds since 1970 UTC.")]


def _finished_statuses(value: str) -> str:
    if not set(value.split(",")) <= set(FINISHED):
        raise ValueError("should be completed, failed or completed,failed")
    return value


class StrictRequest(BaseModel):
    """A body: no other fields, no other types."""

    model_config = ConfigDict(strict=True, extra="forbid")


class NewJobRequest(StrictRequest):
    """What to run a task on."""

    model_config = ConfigDict(json_schema_extra={"example": {"media_store_id": "image-789", "priority": 5}})

    media_store_id: MediaStoreId
    priority: WholeNumber = Field(
        DEFAULT_PRIORITY, ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY, description="Higher is sooner; then first come."
    )


def _one_of(*names: str) -> list[JsonValue]:
    """The schema of a request that has exactly one of these; the others are null, or left out."""
    null: JsonValue = {"type": "null"}
    return [
        {"required": [name], "properties": {one: {"not": null} if one == name else null for one in names}}
        for name in names
    ]


class FaceSearch(StrictRequest):
    """What to look for: exactly one of `point_id` and `vector`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"point_id": 123000, "limit": 10, "score_threshold": 0.5},
            "oneOf": _one_of("point_id", "vector"),
        }
    )

    point_id: SearchPointId | None = None
    vector: list[Coordinate] | None = Field(
        None,
        min_length=DIMENSION,
        max_length=DIMENSION,
        description="Of any length but zero; normalised here.",
        json_schema_extra={"contains": {"not": {"const": 0}}},
    )
    limit: WholeNumber = Field(10, ge=1, le=100)
    score_threshold: float | None = Field(None, ge=-1, le=1, description="The least cosine of a result.")

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        asked = self._questions()
        if sum(getattr(self, name) is not None for name in asked) != 1:
            raise ValueError(f"should have exactly one of {', '.join(asked)}")
        return self

    def _questions(self) -> tuple[str, ...]:
        return ("point_id", "vector")


class ImageSearch(FaceSearch):
    """What to look for: exactly one of `point_id`, `media_store_id`, `vector` and `text`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"media_store_id": "image-789", "limit": 10},
            "oneOf": _one_of("point_id", "media_store_id", "vector", "text"),
        }
    )

    media_store_id: MediaStoreId | None = None
    text: SearchText | None = None

    def _questions(self) -> tuple[str, ...]:
        return ("point_id", "media_store_id", "vector", "text")


class CleanupQuery(BaseModel):
    """Which finished jobs to remove."""

    model_config = ConfigDict(extra="forbid")  # a misspelt dry_run must not delete

    older_than_days: int = Field(30, ge=0, le=36_500, description="Counted from the end of a job.")
    status: Annotated[str, AfterValidator(_finished_statuses)] = Field(
        ",".join(FINISHED),
        description="`completed`, `failed`, or both with a comma between.",
        json_schema_extra={"pattern": rf"^({'|'.join(FINISHED)})(,({'|'.join(FINISHED)}))*$"},
    )
    dry_run: bool = Field(False, description="Count only, remove nothing.")


class CreatedJob(TypedDict):
    """A new job."""

    job_id: str
    task_type: str
    media_store_id: str
    status: JobStatus
    priority: int
    created_at: Milliseconds


class JobError(TypedDict):
    """Why a job failed, or why its last attempt did. ``retryable``: asking again later may help."""

    code: ErrorCode
    message: str
    retryable: bool


class SyncView(TypedDict):
    """How the report of a result to the media store stands; what has no value is left out."""

    status: Literal["pending", "synced", "failed"]
    attempts: int
    next_attempt_at: NotRequired[Milliseconds]
    last_error: NotRequired[str]


class JobView(CreatedJob):
    """A job; what has no value yet is left out."""

    started_at: NotRequired[Milliseconds]
    completed_at: NotRequired[Milliseconds]
    attempts: int
    result: NotRequired[Annotated[dict[str, Any], Field(description="Depends on the task type.")]]
    error: NotRequired[JobError]
    sync: NotRequired[SyncView]


class UploadedMedia(TypedDict):
    """A picture that is now in the media store."""

    media_store_id: str


class SearchResult(TypedDict):
    """A point near the one asked for; ``score`` is the cosine."""

    id: int | str
    score: float
    payload: dict[str, Any]


class SearchResults(TypedDict):
    """The nearest points, best first, of the model that made the collection."""

    model: str
    results: list[SearchResult]


class Statistics(TypedDict):
    """The service in numbers; ``vectors`` is null for a collection that can't be counted now."""

    jobs_by_status: dict[JobStatus, int]
    jobs_by_task_type: dict[str, int]
    queue_depth: int
    queue_depth_by_priority: dict[int, int]
    oldest_waiting_ms: int | None
    unpublished: Annotated[int, Field(description="Accepted results that the vector store has yet to get.")]
    vectors: dict[str, int | None]
    bytes_stored: int
    workers_alive: int
    sync: NotRequired[Annotated[dict[str, int], Field(description="Reports to the media store by status.")]]


class SyncRestart(TypedDict):
    """How many failed reports to the media store were started again."""

    restarted: int


class CleanupReport(TypedDict):
    """What a cleanup removed, or would."""

    deleted_jobs: int
    deleted_files: int
    freed_bytes: int


class Health(TypedDict):
    """Whether the service works; each check has a ``status`` of `ok` or `broken` and details of its own."""

    status: Literal["healthy", "unhealthy"]
    checks: dict[str, dict[str, Any]]


class Alive(TypedDict):
    """The process answers."""

    status: Literal["alive"]


class Ready(TypedDict):
    """The service takes requests."""

    status: Literal["ready"]


class Version(TypedDict):
    """Which release this is."""

    version: str
