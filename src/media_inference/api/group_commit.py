"""Requests for jobs that come at the same time share one durable commit."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, cast
from weakref import WeakKeyDictionary

import structlog
from fastapi import Depends, Request

from media_inference.api.services import Services
from media_inference.errors import MediaInferenceError
from media_inference.queue.submission import Answer, Wanted

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 1000
"""Requests in one transaction: others wait for it, workers too."""
_GATHERING = 0.0003
"""Seconds that those who come back may take to be as many as the last time."""
_MOMENT = 0.005
"""Seconds that the event loop stands still for a commit at most."""
_QUICK = 0.0025
"""Seconds within which a commit is quick: for one that takes longer, whoever only reads would wait too long."""

Write = Callable[[Sequence[Wanted]], list[Answer]]
"""Answers requests in one transaction; it runs in a thread of its own."""


@dataclass(slots=True)
class _Call:
    wanted: Sequence[Wanted]
    answers: asyncio.Future[list[Answer]]


@dataclass(slots=True)
class _Lane:
    """What waits in one event loop, and whether somebody writes for it."""

    waiting: deque[_Call] = field(default_factory=deque)
    writer: asyncio.Task[None] | None = None
    together: int = 0
    """How many the last transaction was for."""


class GroupCommit:
    """While one transaction is on its way to the disk, the next one gathers; who comes alone waits for nobody.

    One thread writes, so that a commit costs no other thread its turn. As long as commits are quick the event loop
    stands still for them: two threads that take the interpreter from each other would take longer for the same.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._thread = ThreadPoolExecutor(1, "group-commit")
        self._quick = True
        self._lanes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lane] = WeakKeyDictionary()

    async def submit(self, wanted: Sequence[Wanted]) -> list[Answer]:
        """The answers, in order, when what they say is on disk. Raises what ``write`` raises."""
        loop = asyncio.get_running_loop()
        lane = self._lanes.setdefault(loop, _Lane())
        call = _Call(wanted, loop.create_future())
        lane.waiting.append(call)
        if lane.writer is None:
            lane.writer = loop.create_task(self._write_all(lane))
        return await call.answers

    async def _write_all(self, lane: _Lane) -> None:
        try:
            while lane.waiting:
                await _gather(lane)
                calls = _next_calls(lane.waiting)
                lane.together = len(calls)
                await self._write_together(calls)
        finally:
            lane.writer = None

    async def _write_together(self, calls: Sequence[_Call]) -> None:
        """One that makes the transaction fail fails alone: then each gets one of its own.

        Not so where the service can't write at all.
        """
        try:
            answers = iter(await self._written(_together(calls)))
        except Exception as error:
            if len(calls) == 1 or isinstance(error, MediaInferenceError):
                _fail(calls, error)
                return
            log.exception("requests are written one by one", action="group_commit_failed", calls=len(calls))
            for call in calls:
                await self._write_together([call])
            return
        for call in calls:
            own = [next(answers) for _ in call.wanted]
            if not call.answers.done():  # else its client is gone
                call.answers.set_result(own)

    async def _written(self, wanted: Sequence[Wanted]) -> list[Answer]:
        commit = self._thread.submit(self._write_and_time, wanted)
        if self._quick:
            with suppress(TimeoutError):
                commit.exception(_MOMENT)
        return commit.result() if commit.done() else await asyncio.wrap_future(commit)

    def _write_and_time(self, wanted: Sequence[Wanted]) -> list[Answer]:
        begun = time.monotonic()
        try:
            return self._write(wanted)
        finally:
            self._quick = time.monotonic() - begun < _QUICK


async def _gather(lane: _Lane) -> None:
    """Lets as many come as the last time: they were answered together, and whoever asks again does it now."""
    until = time.monotonic() + _GATHERING
    while len(lane.waiting) < lane.together and time.monotonic() < until:  # noqa: ASYNC110  # an event is for longer waits
        await asyncio.sleep(0)


def _next_calls(waiting: deque[_Call]) -> list[_Call]:
    calls = [waiting.popleft()]
    size = len(calls[0].wanted)
    while waiting and size + len(waiting[0].wanted) <= MOST_AT_ONCE:
        calls.append(waiting.popleft())
        size += len(calls[-1].wanted)
    return calls


def _together(calls: Sequence[_Call]) -> list[Wanted]:
    return [one for call in calls for one in call.wanted]


def _fail(calls: Sequence[_Call], error: Exception) -> None:
    for call in calls:
        if not call.answers.done():
            call.answers.set_exception(error)


def group_commit(services: Services) -> GroupCommit:
    """The one of an application. Calls raise `TransientError` (`storage_full`) while a disk is full."""

    def write(wanted: Sequence[Wanted]) -> list[Answer]:
        services.require_room()
        return services.queue.submit_all(wanted)

    return GroupCommit(write)


async def _of_application(request: Request) -> GroupCommit:
    return cast("GroupCommit", request.app.state.group_commit)


Submitting = Annotated[GroupCommit, Depends(_of_application)]
"""The group commit of the application that a request came to."""
