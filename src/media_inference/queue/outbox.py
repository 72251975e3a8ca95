"""Accepted embeddings on their way to the vector store.

An entry is in the outbox from the transaction that accepted its embedding set until the one that says the vector store
has it. Entries are applied in the order of their ids, which is the order in which they were accepted.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from media_inference.failpoints import Failpoint, failpoint
from media_inference.jobs.event import EventType
from media_inference.jobs.job import Claim, JobStatus, JsonObject
from media_inference.jobs.outcome import Embedding, EmbeddingSet, PointId
from media_inference.queue.changes import Settlement
from media_inference.queue.clock import Clock, wall_clock
from media_inference.queue.engine import reading, writing
from media_inference.queue.events import SUBJECT, add_event
from media_inference.queue.tables import embedding_sets, embeddings, jobs, outbox, queue

VECTORS = "vectors"


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An accepted embedding set of so many ``points`` that the vector store may not have yet."""

    entry_id: int
    set_id: int
    collection: str
    media_store_id: str
    job_id: str
    points: int


@dataclass(frozen=True, slots=True)
class Publication:
    """What to do for one entry: store ``embeddings``, then delete the points ``stale``, then acknowledge.

    ``superseded``: a later set of the same media item is already published, so there is nothing to store.
    """

    embeddings: tuple[Embedding, ...]
    stale: tuple[PointId, ...]
    superseded: bool


_ADD_SET = embedding_sets.insert().returning(embedding_sets.c.set_id)
_ADD_EMBEDDINGS, _ADD_ENTRIES = embeddings.insert().inline(), outbox.insert().inline()

# What a statement is made of costs more than to run it, so each is made once, with parameters for the entry.
_SET, _JOB = sa.bindparam("set", type_=sa.BigInteger), sa.bindparam("job", type_=sa.String)
_SAME_ITEM = (
    embedding_sets.c.collection == sa.bindparam("from"),
    embedding_sets.c.media_store_id == sa.bindparam("item"),
)
_IS_PUBLISHED = embedding_sets.c.published_at.is_not(None)
_POINTS = sa.select(sa.func.count()).where(embeddings.c.set_id == outbox.c.set_id).label("points")
_OLDEST = (
    sa.select(outbox.c.entry_id, *embedding_sets.c["set_id", "collection", "media_store_id", "job_id"], _POINTS)
    .join(embedding_sets, embedding_sets.c.set_id == outbox.c.set_id)
    .where(outbox.c.topic == VECTORS)
    .order_by(outbox.c.entry_id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_UNDER_WAY = sa.select(sa.exists().where(queue.c.lease_token.is_not(None)))
_NEWER = sa.select(embedding_sets.c.set_id).where(*_SAME_ITEM, embedding_sets.c.set_id > _SET, _IS_PUBLISHED).limit(1)
_EMBEDDINGS = (
    sa.select(*embeddings.c["point_id", "vector", "payload"])
    .where(embeddings.c.set_id == _SET)
    .order_by(embeddings.c.ordinal)
)
_OLDER_POINTS = (
    sa.select(embeddings.c.point_id)
    .join(embedding_sets, embedding_sets.c.set_id == embeddings.c.set_id)
    .where(*_SAME_ITEM, embedding_sets.c.set_id < _SET)
)
_LEAVE = outbox.delete().where(outbox.c.entry_id.in_(sa.bindparam("entry_ids", expanding=True)))
_PUBLISHED = embedding_sets.update().where(embedding_sets.c.set_id == _SET).values(published_at=sa.bindparam("now"))
_LAST_PUBLISHED = sa.select(sa.func.max(embedding_sets.c.set_id)).where(*_SAME_ITEM, _IS_PUBLISHED).scalar_subquery()
_FORGET_REPLACED = embedding_sets.delete().where(*_SAME_ITEM, _IS_PUBLISHED, embedding_sets.c.set_id < _LAST_PUBLISHED)
# A job that runs again is completed by its new outcome, not by an entry of the old one.
_IS_WORKED_ON = sa.exists().where(queue.c.job_id == jobs.c.job_id)
# The same once it has that outcome: vectors that are still on their way are not searchable yet.
_HAS_A_NEWER_SET = sa.exists().where(
    *_SAME_ITEM,
    embedding_sets.c.job_id == _JOB,
    embedding_sets.c.set_id > _SET,
    embedding_sets.c.published_at.is_(None),
)
_COMPLETE = (
    jobs.update()
    .where(jobs.c.job_id == _JOB, jobs.c.status == JobStatus.PROCESSING, ~_IS_WORKED_ON, ~_HAS_A_NEWER_SET)
    .values(status=JobStatus.COMPLETED, completed_at=sa.bindparam("now"))
    .returning(*SUBJECT, jobs.c.attempts)
)


def add_embedding_sets(tx: sa.Connection, settled: Iterable[Settlement], now: int) -> None:
    """Writes the sets that were found, with their vectors and their entries; part of the settling transaction."""
    rows, entries = list[JsonObject](), list[JsonObject]()
    for settlement in settled:
        found = settlement.findings.embedding_set
        if found is not None:
            set_id = tx.execute(_ADD_SET, _set_row(settlement.claim, found)).scalar_one()
            rows += [_row(set_id, *numbered) for numbered in enumerate(found.embeddings)]
            entries.append({"topic": VECTORS, "set_id": set_id, "created_at": now})
    if rows:
        tx.execute(_ADD_EMBEDDINGS, rows)
    if entries:
        tx.execute(_ADD_ENTRIES, entries)


def _set_row(claim: Claim, found: EmbeddingSet) -> JsonObject:
    return {
        "collection": found.collection,
        "media_store_id": claim.media_store_id,
        "job_id": claim.job_id,
        "model": found.model,
    }


def _row(set_id: int, ordinal: int, embedding: Embedding) -> JsonObject:
    return {
        "set_id": set_id,
        "ordinal": ordinal,
        "point_id": embedding.point_id,
        "vector": embedding.vector.astype("<f4").tobytes(),
        "payload": embedding.payload,
    }


class Outbox:
    """The outbox as the publisher uses it. ``on_event`` rings for those who listen to job events."""

    def __init__(
        self, engine: sa.Engine, clock: Clock = wall_clock, *, on_event: Callable[[], None] = lambda: None
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._on_event = on_event

    def waiting(self, limit: int) -> Sequence[OutboxEntry]:
        """The oldest entries."""
        with reading(self._engine) as tx:
            return [OutboxEntry(**row._asdict()) for row in tx.execute(_OLDEST, {"limit": limit})]

    def more_will_come(self) -> bool:
        """Whether jobs are under way."""
        with reading(self._engine) as tx:
            return bool(tx.scalar(_UNDER_WAY))

    def publications(self, entries: Sequence[OutboxEntry]) -> list[Publication]:
        """What the vector store must be told for each of these entries, as things stand before any of them."""
        with reading(self._engine) as tx:
            return [_publication(tx, entry) for entry in entries]

    def acknowledge(self, *entries: OutboxEntry) -> None:
        """The vector store has them: completes their jobs and forgets the sets that they replaced."""
        with writing(self._engine) as tx:
            now = self._clock()
            tx.execute(_LEAVE, {"entry_ids": [entry.entry_id for entry in entries]})
            for entry in entries:
                _acknowledge(tx, entry, now)
                failpoint(Failpoint.ACKNOWLEDGE_BEFORE_COMMIT, entry.media_store_id)
        for entry in entries:
            failpoint(Failpoint.ACKNOWLEDGE_AFTER_COMMIT, entry.media_store_id)
        self._on_event()


def _acknowledge(tx: sa.Connection, entry: OutboxEntry, now: int) -> None:
    asked = {**_bound(entry), "now": now}
    tx.execute(_PUBLISHED, asked)
    tx.execute(_FORGET_REPLACED, asked)
    completed = tx.execute(_COMPLETE, asked).one_or_none()
    if completed is not None:  # else it was deleted, ran again, or is acknowledged for the second time
        add_event(tx, EventType.COMPLETED, completed, now, attempt=completed.attempts)


def _publication(tx: sa.Connection, entry: OutboxEntry) -> Publication:
    asked = _bound(entry)
    if tx.scalar(_NEWER, asked) is not None:
        return Publication((), (), superseded=True)
    rows = tx.execute(_EMBEDDINGS, asked)
    current = tuple(Embedding(row.point_id, np.frombuffer(row.vector, "<f4"), row.payload) for row in rows)
    kept = {embedding.point_id for embedding in current}
    older = tx.scalars(_OLDER_POINTS, asked)
    stale = tuple(dict.fromkeys(point_id for point_id in older if point_id not in kept))
    return Publication(current, stale, superseded=False)


def _bound(entry: OutboxEntry) -> dict[str, object]:
    return {
        "set": entry.set_id,
        "from": entry.collection,
        "item": entry.media_store_id,
        "job": entry.job_id,
    }
