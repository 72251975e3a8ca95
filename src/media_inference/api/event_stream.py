"""Events as Server-Sent Events, for as long as both sides wish.

FastAPI's own streams can neither be ended from outside nor cut when nobody reads, and beat at a fixed pace.
"""

import asyncio
import json
import math
from collections.abc import Callable
from contextlib import suppress

import structlog
from fastapi.sse import format_sse_event
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from media_inference.api.event_feed import EventFeed
from media_inference.api.problems import ProblemCode, problem_response
from media_inference.errors import DatabaseUnavailable
from media_inference.jobs.event import LAST_WORDS, Event
from media_inference.queue.events import EventPage

CUT = "media_inference.cut"
"""The server's extension of ASGI that ends a connection with whatever it still has to send."""

RESET = "reset"
RETRY_MS = 3000

_FAREWELL_SECONDS = 0.5

log = structlog.get_logger(__name__)


class EventsResponse(Response):
    """The kind of answer, for the OpenAPI document."""

    media_type = "text/event-stream"


class EventStream(EventsResponse):
    """The ``wanted`` events from a page on; of one job, ``job_id``, until it is over (``is_over``: it is already).

    ``client`` is a word for whose it is. Ends after ``seconds``, when its caller may listen no longer; at once when the
    feed closes.
    """

    def __init__(
        self,
        feed: EventFeed,
        first: EventPage,
        *,
        client: str,
        wanted: Callable[[Event], bool] = lambda _: True,
        job_id: str | None = None,
        is_over: bool = False,
        seconds: float = math.inf,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._feed = feed
        self._first = first
        self._client = client
        self._pace = feed.pace
        self._wanted = wanted
        self._job_id = job_id
        self._is_over = is_over
        self._seconds = seconds
        self._feeding: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Streams, if there is a place."""
        if self._feed.has_ended:
            await problem_response(ProblemCode.UNAVAILABLE)(scope, receive, send)
        elif self._feed.is_full:
            await problem_response(ProblemCode.TOO_BUSY, "Too many event streams are open.")(scope, receive, send)
        elif self._feed.has_enough(self._client):
            await problem_response(ProblemCode.TOO_MANY_STREAMS)(scope, receive, send)
        else:
            async with self._feed.joined(self, self._client):
                await self._stream(scope.get("extensions", {}).get(CUT, lambda: None), receive, send)

    def end(self) -> None:
        """Ends it now."""
        if self._feeding is not None:
            self._feeding.cancel()

    async def _stream(self, cut: Callable[[], None], receive: Receive, send: Send) -> None:
        self._feeding = asyncio.create_task(self._feed_client(send))
        leaving = asyncio.create_task(_disconnect(receive))
        try:
            await asyncio.wait({self._feeding, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not leaving.done() and not await self._say_goodbye(send):
                log.info("an event stream was cut", action="cut_stream", reason="its reader takes nothing")
                cut()
                await asyncio.wait({leaving}, timeout=_FAREWELL_SECONDS)
        finally:
            self._feeding.cancel()
            leaving.cancel()
            await asyncio.gather(self._feeding, leaving, return_exceptions=True)

    async def _say_goodbye(self, send: Send) -> bool:
        """Ends the answer properly; False when nobody reads it. Raises what went wrong while it was made."""
        error = None if self._feeding is None or self._feeding.cancelled() else self._feeding.exception()
        if isinstance(error, TimeoutError):
            return False
        if error is not None:
            raise error
        try:
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            return False
        return True

    async def _feed_client(self, send: Send) -> None:
        """Sends the events; raises `TimeoutError` when the client takes nothing for too long."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        ends_at = asyncio.get_running_loop().time() + self._seconds
        # The id alone, as a place to come back to for a client that is cut before the first event.
        page, opening = self._first, format_sse_event(retry=RETRY_MS, id=str(self._first.after))
        while True:
            await self._send(send, opening + self._encode(page))
            if self._is_over or (self._job_id and _ends(page)):
                return
            following = await self._following(send, page.through, ends_at)
            if following is None:
                return
            page, opening = following, b""

    async def _following(self, send: Send, position: int, ends_at: float) -> EventPage | None:
        """The next page with something to tell, with heartbeats until then; None when it is time to end."""
        loop = asyncio.get_running_loop()
        told, next_beat = position, loop.time() + self._pace.heartbeat
        while (now := loop.time()) < ends_at:
            if now >= next_beat:
                # With an id only where events have passed that were not wanted: some clients show it as a message.
                passed = None if position == told else str(position)
                await self._send(send, format_sse_event(comment="heartbeat", id=passed))
                told, next_beat = position, now + self._pace.heartbeat
            changed = self._feed.changed()  # before looking, or what comes in between would be missed
            page = await self._page(position)
            if page is None or page.gap or any(self._wanted(event) for event in page.events):
                return page
            if position < page.through:
                position = page.through
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(next_beat, ends_at)):
                    await changed.wait()
        return None

    async def _page(self, position: int) -> EventPage | None:
        """None while the database is away: the client comes back and is told of it."""
        try:
            return await self._feed.page(position, self._job_id)
        except DatabaseUnavailable as error:
            log.warning("an event stream ends", action="read_events", error=str(error))
            return None

    async def _send(self, send: Send, content: bytes) -> None:
        async with asyncio.timeout(self._pace.patience):
            await send({"type": "http.response.body", "body": content, "more_body": True})

    def _encode(self, page: EventPage) -> bytes:
        blocks = [_block(event.event_id, event.type, event.as_json()) for event in page.events if self._wanted(event)]
        if page.gap is not None:
            blocks.insert(0, _block(page.after, RESET, {"reason": page.gap, "after": page.after}))
        return b"".join(blocks)


def _ends(page: EventPage) -> bool:
    """Whether a job's page leaves it over: behind its end, a repair may have let it begin another life."""
    return bool(page.events) and page.events[-1].type in LAST_WORDS


def _block(event_id: int, name: str, data: object) -> bytes:
    return format_sse_event(id=str(event_id), event=name, data_str=json.dumps(data))


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
