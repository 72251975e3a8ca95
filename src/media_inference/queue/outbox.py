"""Accepted embeddings on their way to the vector store.

An entry is in the outbox from the transaction that accepted its embedding set until the one that says the vector store
has it. Entries are applied in the order of their ids, which is the order in which they were accepted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from media_inference.errors import ErrorCode, PermanentError
from media_inference.failpoints import Failpoint, failpoint
from media_inference.jobs.event import EventType
from media_inference.jobs.job import Claim, JobStatus
from media_inference.jobs.outcome import Embedding, EmbeddingSet, PointId
from media_inference.queue.clock import Clock, wall_clock
from media_inference.queue.engine import reading, writing
from media_inference.queue.events import SUBJECT, add_event
from media_inference.queue.tables import collections, embedding_sets, embeddings, jobs, outbox, queue

VECTORS = "vectors"


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An accepted embedding set that the vector store may not have yet."""

    entry_id: int
    set_id: int
    collection: str
    media_store_id: str
    job_id: str


@dataclass(frozen=True, slots=True)
class Publication:
    """What to do for one entry: store ``embeddings``, then delete the points ``stale``, then acknowledge.

    ``superseded``: a later set of the same media item is already published, so there is nothing to store.
    """

    embeddings: tuple[Embedding, ...]
    stale: tuple[PointId, ...]
    superseded: bool


def add_embedding_set(tx: sa.Connection, claim: Claim, found: EmbeddingSet, now: int) -> None:
    """Writes a set with its vectors and its outbox entry; part of the settling transaction."""
    _keep_to_one_model(tx, found, now)
    new_set = embedding_sets.insert().values(
        collection=found.collection, media_store_id=claim.media_store_id, job_id=claim.job_id, model=found.model
    )
    set_id = tx.execute(new_set.returning(embedding_sets.c.set_id)).scalar_one()
    if found.embeddings:
        tx.execute(
            embeddings.insert(),
            [
                {
                    "set_id": set_id,
                    "ordinal": ordinal,
                    "point_id": embedding.point_id,
                    "vector": embedding.vector.astype("<f4").tobytes(),
                    "payload": embedding.payload,
                }
                for ordinal, embedding in enumerate(found.embeddings)
            ],
        )
    tx.execute(outbox.insert().values(topic=VECTORS, set_id=set_id, created_at=now))


def _keep_to_one_model(tx: sa.Connection, found: EmbeddingSet, now: int) -> None:
    """A collection holds vectors of one model: the first one that is accepted."""
    model = tx.scalar(sa.select(collections.c.model).where(collections.c.name == found.collection))
    if model is None:
        tx.execute(collections.insert().values(name=found.collection, model=found.model, created_at=now))
    elif model != found.model:
        message = f"the collection {found.collection} holds vectors of {model}, this worker runs {found.model}"
        raise PermanentError(ErrorCode.MODEL_UNAVAILABLE, message)


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
        query = (
            sa.select(outbox.c.entry_id, *embedding_sets.c["set_id", "collection", "media_store_id", "job_id"])
            .join(embedding_sets, embedding_sets.c.set_id == outbox.c.set_id)
            .where(outbox.c.topic == VECTORS)
            .order_by(outbox.c.entry_id)
            .limit(limit)
        )
        with reading(self._engine) as tx:
            return [OutboxEntry(*row) for row in tx.execute(query)]

    def publication(self, entry: OutboxEntry) -> Publication:
        """What the vector store must be told for an entry."""
        with reading(self._engine) as tx:
            newer = tx.scalar(
                sa.select(embedding_sets.c.set_id)
                .where(
                    *_of_same_item(entry),
                    embedding_sets.c.set_id > entry.set_id,
                    embedding_sets.c.published_at.is_not(None),
                )
                .limit(1)
            )
            if newer is not None:
                return Publication((), (), superseded=True)
            rows = tx.execute(
                sa.select(*embeddings.c["point_id", "vector", "payload"])
                .where(embeddings.c.set_id == entry.set_id)
                .order_by(embeddings.c.ordinal)
            )
            current = tuple(Embedding(row.point_id, np.frombuffer(row.vector, "<f4"), row.payload) for row in rows)
            kept = {embedding.point_id for embedding in current}
            older = tx.scalars(
                sa.select(embeddings.c.point_id)
                .join(embedding_sets, embedding_sets.c.set_id == embeddings.c.set_id)
                .where(*_of_same_item(entry), embedding_sets.c.set_id < entry.set_id)
            )
            stale = tuple(dict.fromkeys(point_id for point_id in older if point_id not in kept))
        return Publication(current, stale, superseded=False)

    def acknowledge(self, entry: OutboxEntry) -> None:
        """The vector store has it: completes the job and forgets the sets that this one replaced."""
        now = self._clock()
        with writing(self._engine) as tx:
            tx.execute(outbox.delete().where(outbox.c.entry_id == entry.entry_id))
            tx.execute(embedding_sets.update().where(embedding_sets.c.set_id == entry.set_id).values(published_at=now))
            self._forget_replaced(tx, entry)
            completed = tx.execute(
                jobs.update()
                .where(
                    jobs.c.job_id == entry.job_id,
                    jobs.c.status == JobStatus.PROCESSING,
                    ~_is_worked_on(),
                    ~_has_a_newer_set(entry),
                )
                .values(status=JobStatus.COMPLETED, completed_at=now)
                .returning(*SUBJECT, jobs.c.attempts)
            ).one_or_none()
            if completed is not None:  # else it was deleted, ran again, or is acknowledged for the second time
                add_event(tx, EventType.COMPLETED, completed, now, attempt=completed.attempts)
            failpoint(Failpoint.ACKNOWLEDGE_BEFORE_COMMIT, entry.media_store_id)
        failpoint(Failpoint.ACKNOWLEDGE_AFTER_COMMIT, entry.media_store_id)
        self._on_event()

    @staticmethod
    def _forget_replaced(tx: sa.Connection, entry: OutboxEntry) -> None:
        published = sa.select(sa.func.max(embedding_sets.c.set_id)).where(
            *_of_same_item(entry), embedding_sets.c.published_at.is_not(None)
        )
        replaced = sa.and_(*_of_same_item(entry), embedding_sets.c.published_at.is_not(None))
        tx.execute(embedding_sets.delete().where(replaced, embedding_sets.c.set_id < tx.scalar(published)))


def _is_worked_on() -> sa.ColumnElement[bool]:
    """A job that runs again is completed by its new outcome, not by an entry of the old one."""
    return sa.exists().where(queue.c.job_id == jobs.c.job_id)


def _has_a_newer_set(entry: OutboxEntry) -> sa.ColumnElement[bool]:
    """The same once it has that outcome: vectors that are still on their way are not searchable yet."""
    return sa.exists().where(
        *_of_same_item(entry),
        embedding_sets.c.job_id == entry.job_id,
        embedding_sets.c.set_id > entry.set_id,
        embedding_sets.c.published_at.is_(None),
    )


def _of_same_item(entry: OutboxEntry) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        embedding_sets.c.collection == entry.collection,
        embedding_sets.c.media_store_id == entry.media_store_id,
    )
