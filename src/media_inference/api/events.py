"""What happens to jobs, told as it happens (Server-Sent Events)."""

import math
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from media_inference.api.auth import identified, supporters_only
from media_inference.api.caller import Caller
from media_inference.api.event_feed import PAGE
from media_inference.api.event_schemas import EventView, JobEventsQuery, NewEventsQuery
from media_inference.api.event_stream import EventsResponse, EventStream
from media_inference.api.jobs import JobId
from media_inference.api.openapi import Answers, ends_in
from media_inference.api.problems import Problem, ProblemCode
from media_inference.api.services import Serving
from media_inference.jobs.event import Event
from media_inference.jobs.job import FINISHED
from media_inference.queue.events import EventPage

router = APIRouter(tags=["events"], default_response_class=EventsResponse)

_BEYOND_ALL = 2**63 - 1

LastEventId = Annotated[
    str | None,
    Header(description="The last id that was received, as an EventSource sends it; stronger than `after`."),
]
_STREAM: Answers = {200: {"model": EventView, "description": "Events; the schema is that of the `data` of one."}}


@router.get(
    "/events",
    dependencies=[supporters_only],
    responses=ends_in(ProblemCode.UNKNOWN_TASK_TYPE, ProblemCode.TOO_MANY_STREAMS) | _STREAM,
)
def follow_events(
    request: Request,
    query: Annotated[NewEventsQuery, Query()],
    services: Serving,
    caller: Annotated[Caller | None, Depends(identified)],
    last_event_id: LastEventId = None,
) -> Response:
    """Follow what happens to all jobs, from now on or from behind an id. Ends when the token does."""
    after = _position(last_event_id, query.after)
    newest = services.feed.log.newest() if after is None else 0
    first = EventPage((), newest, newest) if after is None else services.feed.log.page(after, PAGE)
    types, tasks = query.types(), query.task_types()
    if not tasks <= set(services.task_types):
        raise Problem(ProblemCode.UNKNOWN_TASK_TYPE, f"The task types are {', '.join(services.task_types)}.")

    def wanted(event: Event) -> bool:
        return (not types or event.type in types) and (not tasks or event.data["task_type"] in tasks)

    seconds = math.inf if caller is None else caller.expires_at - time.time()
    return EventStream(services.feed, first, client=_client_of(request, caller), wanted=wanted, seconds=seconds)


@router.get(
    "/job/{job_id}/events",
    responses=ends_in(ProblemCode.JOB_NOT_FOUND, ProblemCode.TOO_MANY_STREAMS)
    | _STREAM
    | {204: {"description": "The job is over, and all of its events were received."}},
)
def follow_job(
    request: Request,
    job_id: JobId,
    query: Annotated[JobEventsQuery, Query()],
    services: Serving,
    last_event_id: LastEventId = None,
) -> Response:
    """Follow one job: its events so far, then the others as they happen. Ends when the job is over."""
    job = services.records.get(job_id)
    if job is None and not services.feed.log.knows(job_id):
        raise Problem(ProblemCode.JOB_NOT_FOUND)
    first = services.feed.log.of_job(job_id, _position(last_event_id, query.after) or 0)
    is_over = job is None or job.status in FINISHED
    if is_over and not first.events and first.gap is None:
        return Response(status_code=204)  # which tells an EventSource not to come back
    return EventStream(services.feed, first, client=_client_of(request, None), job_id=job_id, is_over=is_over)


def _client_of(request: Request, caller: Caller | None) -> str:
    """Who counts as one client: the subject of a token, else an address."""
    if caller is not None:
        return f"subject {caller.subject}"
    return f"address {request.client.host if request.client else 'unknown'}"


def _position(last_event_id: str | None, after: int | None) -> int | None:
    """Where to go on. What can't be an id was never given out: that is answered with a reset, not an error for ever."""
    if last_event_id is None or last_event_id == "":
        return after
    known = last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) <= 18
    return int(last_event_id) if known else _BEYOND_ALL
