"""What the routes work with; `processes` builds it once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from media_inference.api.event_feed import EventFeed
from media_inference.api.lines import Capacity
from media_inference.api.tokens import Access
from media_inference.artifacts.store import ArtifactStore
from media_inference.errors import MediaInferenceError
from media_inference.jobs.outcome import Vector
from media_inference.media.store import MediaInbox
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.outages import OutageRecords
from media_inference.queue.sync import SyncRecords
from media_inference.queue.worker_records import WorkerRecords
from media_inference.vectors.store import VectorStore

Check = Callable[[], Mapping[str, Any]]
"""Looks at one thing that the service needs: returns details as JSON, raises when it is broken."""


class Unwell(MediaInferenceError):
    """Something that the service needs is broken. Clients see ``message``: it names neither paths nor addresses.

    ``since``: milliseconds since 1970 UTC, if that is known.
    """

    def __init__(self, message: str, *, since: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.since = since


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the API.

    ``sync`` is None where results are not reported to the media store, ``inbox`` where pictures can't be uploaded.
    ``task_types``: task type -> one line on what it does. ``models``: collection -> the model that would fill it, named
    as long as it is empty. ``on_submit`` wakes workers after a job is committed; it must neither wait nor raise.
    ``embed_text`` gives the unit vector of a text among those of `image_embeddings`; it raises `TextNotEmbedded`.
    ``require_room`` raises `TransientError` (`storage_full`) while a disk is full.
    """

    queue: JobQueue
    records: JobRecords
    feed: EventFeed
    sync: SyncRecords | None
    vectors: VectorStore
    artifacts: ArtifactStore
    inbox: MediaInbox | None
    access: Access
    task_types: Mapping[str, str]
    models: Mapping[str, str]
    checks: Mapping[str, Check]
    workers: WorkerRecords
    outages: OutageRecords
    embed_text: Callable[[str], Vector]
    on_submit: Callable[[], None]
    version: str
    max_upload_bytes: int
    require_room: Callable[[], None] = lambda: None
    dedupe: bool = False
    """A request for what is under way already is answered with that job."""
    capacity: Capacity = Capacity()  # noqa: RUF009  # frozen
    max_arriving: int = 128
    """Bodies on their way in at once, but for uploads; more are told to come back."""
    body_seconds: float = 30.0
    """How long a request may leave us waiting for its body, plus one second for each 16 KiB that have come."""


async def services_of(request: Request) -> Services:
    """The services of the application that a request came to."""
    return cast("Services", request.app.state.services)


Serving = Annotated[Services, Depends(services_of)]
