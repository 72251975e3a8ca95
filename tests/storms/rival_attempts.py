"""Two attempts at one job, a lease that runs out between them, and the publisher, on the product's own SQL.

The media item has five published faces from an earlier job. Attempt A finds two in it and attempt B three, so that the
vectors tell whose outcome they are. A may also end in a permanent or a transient error.
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from media_inference.errors import ErrorCode, PermanentError, TransientError
from media_inference.jobs.event import EventType
from media_inference.jobs.job import Claim, JobStatus, NewJob
from media_inference.jobs.outcome import Embedding, EmbeddingSet, Findings, PointId
from media_inference.publisher.vectors import VectorPublisher
from media_inference.queue.clock import Clock
from media_inference.queue.engine import open_engine, sqlite_module
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.migrate import migrate
from media_inference.queue.outbox import Outbox, OutboxEntry, Publication
from media_inference.queue.tables import events, jobs, metadata, outbox, queue
from media_inference.vectors.store import FACES, Hit, Point
from tests.storms.interleavings import Actor, Pause

MEDIA_ITEM = "7"
FOUND = {"before": 5, "A": 2, "B": 3, "C": 4}


class Ending(StrEnum):
    """How an attempt ends."""

    SETTLE = "settle"
    FAIL = "fail"
    RETRY = "retry"


class SteppedStore:
    """A vector store in memory that pauses its caller before each change: what a server does, without the disk."""

    def __init__(self) -> None:
        self.collection = FACES
        self.points: dict[PointId, Point] = {}
        self.pause: Pause = no_pause

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        self._check_name(collection)
        self.pause("upsert")
        self.points |= {point.id: point for point in points}

    def delete(self, collection: str, ids: Sequence[PointId]) -> None:
        self._check_name(collection)
        self.pause("delete")
        for point_id in ids:
            self.points.pop(point_id, None)

    def retrieve(self, collection: str, ids: Sequence[PointId]) -> list[Point]:
        self._check_name(collection)
        return [self.points[point_id] for point_id in ids if point_id in self.points]

    def scroll(self, *_: Any, **__: Any) -> Iterator[list[Point]]:
        raise AssertionError("nobody scrolls here")

    def search(self, *_: Any, **__: Any) -> list[Hit]:
        raise AssertionError("nobody searches here")

    def count(self, collection: str) -> int:
        self._check_name(collection)
        return len(self.points)

    def check(self) -> None:
        """Always there."""

    def close(self) -> None:
        """Nothing to let go."""

    def _check_name(self, collection: str) -> None:
        assert collection == self.collection


class SteppedOutbox(Outbox):
    """The real one, which pauses its caller before it forgets an entry, and knows what its caller read last."""

    def __init__(self, engine: sa.Engine, clock: Clock) -> None:
        super().__init__(engine, clock)
        self.pause: Pause = no_pause
        self.read = ""

    def waiting(self, limit: int) -> Sequence[OutboxEntry]:
        entries = super().waiting(limit)
        self.read = f"{[entry.entry_id for entry in entries]}"
        return entries

    def publications(self, entries: Sequence[OutboxEntry]) -> list[Publication]:
        all_found = super().publications(entries)
        for entry, found in zip(entries, all_found, strict=True):
            self.read += f" {entry.entry_id}: {[item.point_id for item in found.embeddings]} {found.stale}"
        return all_found

    def acknowledge(self, *entries: OutboxEntry) -> None:
        self.pause("acknowledge")
        super().acknowledge(*entries)


def no_pause(_stands: str) -> None:
    """Goes on at once."""


class RivalAttempts:
    """Implements `interleavings.World`.

    ``ending`` is how A's attempt ends, if it still may; ``looks``: how often B and the publisher look for something to
    do, between which anything may happen.
    """

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, ending: Ending = Ending.SETTLE, *, looks: int = 2
    ) -> None:
        self._ending = ending
        self._looks = looks
        self._engine = open_engine(f"sqlite:///{folder}/rivals.db")
        migrate(self._engine)
        # Lease tokens that are the same in each run of a schedule: by the order of the claims.
        self._claims = 0
        monkeypatch.setattr(secrets, "token_hex", self._next_token)
        self._now = 0
        self.queue = JobQueue(self._engine, self._clock)
        self.outbox = SteppedOutbox(self._engine, self._clock)
        self.vectors = SteppedStore()
        self.publisher = VectorPublisher(self.outbox, self.vectors)
        self.job_id, self._holds = "", {"A": ""}
        self._usurped: list[str] = []
        self._template, self._points_at_start = self._set_the_stage(folder)

    def _clock(self) -> int:
        self._now += 1
        return self._now

    def _next_token(self, _bytes: int) -> str:
        self._claims += 1
        return f"token-{self._claims}"

    def _set_the_stage(self, folder: Path) -> tuple[Any, dict[PointId, Point]]:
        self.queue.submit(NewJob("face_embedding", MEDIA_ITEM))
        self._attempt("before")
        self.publisher.publish_some()
        self.job_id = self.queue.submit(NewJob("face_embedding", MEDIA_ITEM)).job_id
        template = sqlite_module().connect(folder / "template.db")
        self._copy(into=template)
        return template, dict(self.vectors.points)

    def _copy(self, *, into: Any = None, back_from: Any = None) -> None:
        raw = self._engine.raw_connection()
        try:
            own: Any = raw.driver_connection
            own.backup(into) if into is not None else back_from.backup(own)
        finally:
            raw.close()

    def reset(self) -> None:
        """The job waits, the earlier one is published."""
        self._copy(back_from=self._template)
        self.vectors.points = dict(self._points_at_start)
        self._claims, self._now, self._holds, self._usurped = 100, 1000, {}, []
        self._be_quick()

    def _be_quick(self) -> None:
        """Nobody pauses in the store or the outbox."""
        self.vectors.pause = self.outbox.pause = no_pause

    def digest(self) -> str:
        """All rows of all tables but their times, who holds what, and all points."""
        raw = self._engine.raw_connection()
        try:
            cursor = raw.cursor()
            rows = [cursor.execute(statement).fetchall() for statement in EVERY_ROW]
            cursor.close()
        finally:
            raw.close()
        points = sorted((str(point.id), str(point.payload)) for point in self.vectors.points.values())
        return hashlib.sha256(repr((rows, self._holds, points)).encode()).hexdigest()[:16]

    def actors(self) -> Mapping[str, Actor]:
        """Both attempts, whoever notices that A is silent, and the publisher."""
        return {"A": self._worker("A"), "B": self._worker("B"), "E": self._expiry, "P": self._publishing}

    def _worker(self, name: str) -> Actor:
        def work(pause: Pause) -> None:
            for look in range(self._looks):
                if self._attempt(name, pause):
                    return
                pause(f"found nothing {look}")

        return work

    def _attempt(self, name: str, pause: Pause = no_pause) -> bool:
        claim = self.queue.claim(name)
        if claim is None:
            return False
        self._holds[name] = claim.lease_token
        pause(f"claimed {claim}")
        self.queue.renew(claim)
        pause(f"renewed {claim}")
        holder = self._holder()
        if self.end(claim, name) and holder != claim.lease_token:
            self._usurped.append(name)
        return True

    def end(self, claim: Claim, name: str) -> bool:
        """Ends an attempt; says whether the queue let it."""
        if name == "A" and self._ending is Ending.FAIL:
            return self.queue.fail(claim, PermanentError(ErrorCode.IMAGE_CORRUPT, "says A"))
        if name == "A" and self._ending is Ending.RETRY:
            return self.queue.retry(claim, TransientError(ErrorCode.MEDIA_UNAVAILABLE, "says A"), 0)
        return self.queue.settle(claim, findings(name), lambda: None)

    def _holder(self) -> str | None:
        """The lease token that the job has now."""
        with self._engine.connect() as connection:
            return connection.scalar(sa.select(queue.c.lease_token))

    def _expiry(self, _pause: Pause) -> None:
        """A's lease runs out, whenever that is."""
        self.queue.charge_lease(self._holds.get("A", "nobody's"))

    def _publishing(self, pause: Pause) -> None:
        for look in range(self._looks):

            def tell(stands: str, look: int = look) -> None:
                pause(f"{look} {stands} {self.outbox.read}")

            self.vectors.pause = self.outbox.pause = tell
            self.publisher.publish_some()
            pause(f"looked {look}")

    def finish(self, killed: str | None) -> None:
        """The supervisor charges whom it found dead, a worker C works on, a publisher publishes all."""
        self._be_quick()
        if killed is not None:
            self.queue.charge_worker(killed)
        self.queue.charge_lease(self._holds.get("A", "nobody's"))
        while self._attempt("C"):
            pass
        while self.publisher.publish_some():
            pass

    def faults(self) -> list[str]:
        """What an onlooker would complain of."""
        with self._engine.connect() as connection:
            job = connection.execute(sa.select(jobs).where(jobs.c.job_id == self.job_id)).one()
            left = [table.name for table in (queue, outbox) if connection.scalar(sa.select(sa.func.count(table.c[0])))]
            told = list(connection.scalars(sa.select(events.c.type).where(events.c.job_id == self.job_id)))
        finder = job.result["by"] if job.status == JobStatus.COMPLETED else "before"
        shown = {point.id: point.payload["by"] for point in self.vectors.points.values()}
        said = [f"{name} ended a job that it had lost" for name in self._usurped]
        said += [f"the {name} is not empty" for name in left]
        if job.status not in (
            {JobStatus.COMPLETED, JobStatus.FAILED} if self._ending is Ending.FAIL else {JobStatus.COMPLETED}
        ):
            said.append(f"the job ends {job.status}")
        if not (told[0] == EventType.QUEUED and set(told[1:-1]) == {EventType.STARTED} and told[-1] == job.status):
            said.append(f"its events are {', '.join(told)}")
        if shown != dict.fromkeys(_ids(finder), finder):
            said.append("the points are not those of the accepted outcome")
        return said


def findings(name: str) -> Findings:
    """What an attempt of that name finds."""
    vector = np.full(512, 512**-0.5, np.float32)
    points = tuple(Embedding(point_id, vector, {"by": name}) for point_id in _ids(name))
    return Findings({"by": name}, EmbeddingSet(FACES, "m", points))


def _ids(name: str) -> list[PointId]:
    return [1000 * int(MEDIA_ITEM) + index for index in range(FOUND[name])]


def _without_times(table: sa.Table) -> str:
    columns = [column.name for column in table.c if not column.name.endswith("_at") and column.name not in BULKY]
    return f"SELECT {', '.join(columns)} FROM {table.name} ORDER BY 1, 2"  # noqa: S608  # our own names


BULKY = {"at", "vector"}
EVERY_ROW = [_without_times(table) for table in metadata.sorted_tables]
