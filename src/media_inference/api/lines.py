"""A line for each kind of request: who stands in it, who is refused, and how long a refusal takes."""

import asyncio
import random
import time
from collections.abc import Collection
from dataclasses import dataclass

import structlog
from starlette.datastructures import Headers
from starlette.types import Scope

from media_inference.api.problems import ProblemCode

REFUSED = "media_inference.refused"
"""In a request's scope: it was refused for load. The log counts those; a flood would fill the disk with its lines."""

_COUNT_EVERY = 5.0
_ALLOWED_LATE = 0.02
_LONGEST_PAUSE = 2.0
_RECOVERY = 0.1
"""The part of a pause that is taken back in its time when all come out of it on time."""
MOST_HELD = 1024
"""Refusals that are held back at once. More clients than connections are there only if some have gone already."""
QUEUE_STAYS_FULL = 0.05
"""Seconds for which the word of the application counts that the queue is full."""
KEY_HEADER = "Idempotency-Key"
MANY_JOBS = "/jobs"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Places:
    """So many requests of a kind are ``running``, so many more are ``waiting`` for them; the others are refused."""

    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """What is taken on at once. All that run in the framework's 40 threads are fewer: probes find one.

    ``submissions`` ask for jobs. They have one thread of their own, whose transaction all that run may share; each is a
    turn of the event loop that a read has to wait for.
    ``patience``: seconds that a request waits for its turn. ``pause``: seconds until a refusal is sent, about, so that
    whoever asks again at once, on hundreds of connections, doesn't keep the process busy with refusals (`Pause`).
    """

    reads: Places = Places(12, 128)
    submissions: Places = Places(16, 240)
    writes: Places = Places(6, 64)
    searches: Places = Places(8, 32)
    uploads: Places = Places(6, 16)
    patience: float = 5.0
    pause: float = 0.2


class Lines:
    """A line of requests for each kind. Paths in ``always`` are in none."""

    def __init__(self, capacity: Capacity, always: Collection[str]) -> None:
        self._always = always
        self._reads, self._submissions, self._writes, self._searches, self._uploads = (
            Line(places, capacity.patience)
            for places in (
                capacity.reads,
                capacity.submissions,
                capacity.writes,
                capacity.searches,
                capacity.uploads,
            )
        )
        self._pause = Pause(capacity.pause)
        self._refusals = _Refusals()
        self._queue_full_until = 0.0

    def of(self, scope: Scope) -> "Line | None":
        """The line that a request has to stand in, if any."""
        if scope["type"] != "http" or scope["path"] in self._always:
            return None
        path = str(scope["path"])
        if path == "/media":
            return self._uploads
        if path.startswith("/search/"):
            return self._searches
        if scope["method"] in {"GET", "HEAD"}:
            return self._reads
        return self._submissions if scope["method"] == "POST" and path.startswith("/job") else self._writes

    def verdict(self, scope: Scope) -> ProblemCode | None:
        """Why a request is refused unseen, if it is: its line is full, or the queue was when it was last asked.

        Whoever names an `Idempotency-Key` is asked for all the same: the job may be there already. So may each of
        many, and each of those is answered for itself.
        """
        line = self.of(scope)
        if line is None:
            return None
        if line.is_full:
            return ProblemCode.TOO_BUSY
        was_full = line is self._submissions and time.monotonic() < self._queue_full_until
        asked_for_all = scope["path"] == MANY_JOBS or KEY_HEADER in Headers(scope=scope)
        return ProblemCode.QUEUE_FULL if was_full and not asked_for_all else None

    def note_429(self, line: "Line") -> None:
        """The application says that the queue is full: so it is for the next moment."""
        if line is self._submissions:
            self._queue_full_until = time.monotonic() + QUEUE_STAYS_FULL

    async def hold_back(self, scope: Scope) -> None:
        """Notes a refusal, and waits until it may be sent."""
        scope[REFUSED] = True
        self._refusals.add()
        await self._pause.over()


class Line:
    """Requests of one kind: some run, some wait."""

    def __init__(self, places: Places, patience: float) -> None:
        self._free = asyncio.Semaphore(places.running)
        self._most_waiting = places.waiting
        self._waiting = 0
        self._patience = patience

    @property
    def is_full(self) -> bool:
        """Whether there is no place, and none to wait for one."""
        return self._free.locked() and self._waiting >= self._most_waiting

    async def enter(self) -> bool:
        """Waits for its turn; False when too many wait already, or it takes too long."""
        if not self._free.locked():
            return await self._free.acquire()
        if self.is_full:
            return False
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                return await self._free.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1

    def leave(self) -> None:
        """Lets the next one in."""
        self._free.release()


class Pause:
    """How long refusals are held back: about ``least`` seconds, by half more or less; longer while the loop is late.

    Whoever floods on so many connections asks again as soon as it is answered. All that the loop can't do in the pause
    stands in front of every read. So each refusal that comes late makes the pause longer by its share of that, until
    what is asked for is as much as can be done. When none is late it becomes shorter again.
    """

    def __init__(self, least: float) -> None:
        self._least = least
        self._seconds = least
        self._held = 0

    async def over(self) -> None:
        """Waits for as long as it takes now, or not at all where too many wait."""
        if self._held >= MOST_HELD:
            return
        loop = asyncio.get_running_loop()
        seconds = self._seconds * random.uniform(0.5, 1.5)  # noqa: S311  # or whoever was refused together comes back together
        due = loop.time() + seconds
        self._held = most = self._held + 1
        try:
            await asyncio.sleep(seconds)
        finally:
            late = loop.time() - due - _ALLOWED_LATE
            most = max(most, self._held)  # who came first was alone then, who came last is now
            self._held -= 1
        change = late / most if late > 0 else -_RECOVERY * self._seconds / most
        self._seconds = min(max(self._seconds + change, self._least), _LONGEST_PAUSE)


class _Refusals:
    """How many there were, told now and then."""

    def __init__(self) -> None:
        self._count = 0
        self._told_at = 0.0

    def add(self) -> None:
        """One more."""
        self._count += 1
        now = time.monotonic()
        if now - self._told_at >= _COUNT_EVERY:
            log.warning("too many requests at once", action="refuse_requests", refused=self._count)
            self._count, self._told_at = 0, now
