"""New events for every open stream of this process, from one look at the database."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog

from media_inference.api.event_tail import EventTail
from media_inference.errors import DatabaseUnavailable
from media_inference.jobs.event import Event
from media_inference.queue.events import EventLog, EventPage
from media_inference.queue.wake import Wake

PAGE = 100
_TAIL = 1000

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """``heartbeat``: seconds without an event before a comment is sent; ``patience``: seconds to wait for a reader."""

    heartbeat: float = 15.0
    patience: float = 30.0


class Listener(Protocol):
    """Who has joined the feed."""

    def end(self) -> None:
        """Leave now: the process stops."""
        ...


class EventFeed:
    """Looks for events when ``wake`` rings, and every ``poll_interval`` seconds; never while nobody listens.

    Streams that keep up read from memory, the others from the table, page by page. Methods are for one event loop.
    """

    def __init__(
        self,
        event_log: EventLog,
        wake: Wake,
        *,
        poll_interval: float,
        most_streams: int,
        most_per_client: int | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.log = event_log
        self.pace = pace or Pace()
        self._wake = wake
        self._poll_interval = poll_interval
        self._most_streams = most_streams
        self._most_per_client = most_streams if most_per_client is None else most_per_client
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="events")
        self._listeners: dict[Listener, str] = {}
        self._follower: _Follower | None = None
        self.has_ended = False

    @property
    def is_full(self) -> bool:
        """Whether no more streams may be opened."""
        return len(self._listeners) >= self._most_streams

    def has_enough(self, client: str) -> bool:
        """Whether this client may open no more streams, so that others can."""
        return Counter(self._listeners.values())[client] >= self._most_per_client

    @asynccontextmanager
    async def joined(self, listener: Listener, client: str) -> AsyncIterator[None]:
        """Follows the events for as long as anybody has joined."""
        if self._follower is None:
            self._follower = _Follower(self.log, self._wake, self._poll_interval, self._readers)
        self._listeners[listener] = client
        try:
            yield
        finally:
            del self._listeners[listener]
            if not self._listeners:
                follower, self._follower = self._follower, None
                await follower.stop()

    def changed(self) -> asyncio.Event:
        """What is set when there are newer events than now. Only for those who have joined."""
        assert self._follower is not None  # noqa: S101  # a listener keeps it alive
        return self._follower.changed

    async def page(self, after: int, job_id: str | None = None) -> EventPage:
        """The next events behind ``after``, of all jobs or of one. Raises `DatabaseUnavailable`."""
        recent = None if self._follower is None else self._follower.recent(after)
        if recent is not None:
            found = recent[:PAGE]
            through = found[-1].event_id if found else after
            return EventPage(tuple(event for event in found if job_id in {None, event.job_id}), after, through)
        if job_id is None:
            return await _in_thread(self._readers, lambda: self.log.page(after, PAGE))
        return await _in_thread(self._readers, lambda: self.log.of_job(job_id, after))

    def end_streams(self) -> None:
        """Ends all streams, at once, and lets no other begin."""
        self.has_ended = True
        for listener in list(self._listeners):
            listener.end()

    def close(self) -> None:
        """Lets the threads go. Call it when no stream is open any more."""
        self._readers.shutdown()


class _Follower:
    """Keeps the newest events at hand while somebody listens."""

    def __init__(self, event_log: EventLog, wake: Wake, poll_interval: float, readers: ThreadPoolExecutor) -> None:
        self.changed = asyncio.Event()
        self._log = event_log
        self._wake = wake
        self._poll_interval = poll_interval
        self._readers = readers
        self._rung = asyncio.Event()
        self._tail: EventTail | None = None
        self._loop = asyncio.get_running_loop()
        if wake.reader is not None:
            self._loop.add_reader(wake.reader, self._on_ring)
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stops looking."""
        if self._wake.reader is not None:  # before anything else may run: another follower may be about to listen there
            self._loop.remove_reader(self._wake.reader)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def recent(self, after: int) -> list[Event] | None:
        """The events behind an id, if they are at hand."""
        return None if self._tail is None else self._tail.behind(after)

    def _on_ring(self) -> None:
        self._wake.drain()
        self._rung.set()

    async def _follow(self) -> None:
        while True:
            self._rung.clear()
            try:
                more = await self._look()
            except DatabaseUnavailable as error:
                log.warning("the events can't be read", action="follow_events", error=str(error))
                more = False
            except Exception:  # streams would wait for ever
                log.exception("the events can't be read", action="follow_events")
                more = False
            if not more:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_interval):
                        await self._rung.wait()

    async def _look(self) -> bool:
        """Takes what is new; says whether there may be more."""
        if self._tail is None:
            self._tail = EventTail(await _in_thread(self._readers, self._log.newest), _TAIL)
            self._announce()
        after = self._tail.newest
        page = await _in_thread(self._readers, lambda: self._log.page(after, PAGE))
        if page.gap is not None:
            self._tail = EventTail(page.after, _TAIL)
        if page.events:
            self._tail.add(page.events)
            self._announce()
        return len(page.events) == PAGE

    def _announce(self) -> None:
        told, self.changed = self.changed, asyncio.Event()
        told.set()


async def _in_thread(readers: ThreadPoolExecutor, function: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(readers, function)
