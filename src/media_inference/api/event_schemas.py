"""The shapes of requests for events, and of what is told."""

from typing import Annotated, NotRequired

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # typing's own lacks what pydantic needs before Python 3.12

from media_inference.api.schemas import JobError, Milliseconds
from media_inference.jobs.event import EventType

_LARGEST_EVENT_ID = 10**18 - 1


def _event_types(value: str) -> str:
    if not _words(value) <= set(EventType):
        raise ValueError(f"should be some of {', '.join(EventType)}, with commas between")
    return value


def _words(value: str) -> frozenset[str]:
    return frozenset(value.split(",")) - {""}


EventId = Annotated[int, Field(ge=0, le=_LARGEST_EVENT_ID)]


class JobEventsQuery(BaseModel):
    """From where to follow a job."""

    model_config = ConfigDict(extra="forbid")

    after: EventId | None = Field(None, description="Only events behind this id.")


class NewEventsQuery(JobEventsQuery):
    """From where to follow all jobs, and what is wanted."""

    type: Annotated[str, AfterValidator(_event_types)] = Field(
        "",
        description=f"Some of `{'`, `'.join(EventType)}`, with commas between; all if it is left out.",
        json_schema_extra={"pattern": rf"^({'|'.join(EventType)})?(,({'|'.join(EventType)})?)*$"},
    )
    task_type: str = Field("", max_length=1000, description="Task types, with commas between; all if it is left out.")

    def types(self) -> frozenset[str]:
        """The event types that are wanted; none: all."""
        return _words(self.type)

    def task_types(self) -> frozenset[str]:
        """The task types that are wanted; none: all."""
        return _words(self.task_type)


class EventView(TypedDict):
    """What happened to a job; what has no value is left out."""

    id: int
    type: EventType
    job_id: str
    at: Milliseconds
    task_type: str
    media_store_id: str
    priority: int
    attempt: NotRequired[Annotated[int, Field(description="Of `started`, `completed` and `failed`.")]]
    error: NotRequired[Annotated[JobError, Field(description="Of `failed`.")]]
