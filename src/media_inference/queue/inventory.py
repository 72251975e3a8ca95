"""What the database says must exist outside of it, read in pages; every page is one consistent view."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from media_inference.jobs.job import JobStatus, JsonObject
from media_inference.jobs.outcome import PointId
from media_inference.queue.engine import reading
from media_inference.queue.tables import collections, embedding_sets, embeddings, jobs, outbox, queue

_AT_ONCE = 256

Key = tuple[int, int]
"""Where an embedding stands: its set, and its place therein."""


@dataclass(frozen=True, slots=True)
class KeptEmbedding:
    """An embedding as the database keeps it.

    ``numbers``: the float32 of its vector, however many there are. ``newest``: its set is the newest published one of
    its media item. ``current``: and none of that item is on its way, so that the vector store must show it now.
    """

    key: Key
    collection: str
    media_store_id: str
    job_id: str
    point_id: PointId
    numbers: NDArray[np.float32]
    payload: JsonObject
    newest: bool
    current: bool


@dataclass(frozen=True, slots=True)
class SettledJob:
    """A job whose files must be in place. ``set_id``: its embedding set, if it has one that still counts."""

    job_id: str
    task_type: str
    status: JobStatus
    attempts: int
    completed_at: int | None
    result: JsonObject | None
    files: int
    bytes: int
    set_id: int | None


class Inventory:
    """The database as the audit and the backup read it. Methods raise `DatabaseUnavailable`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def embeddings(self) -> Iterator[list[KeptEmbedding]]:
        """All embeddings in pages, by set and place."""
        place = sa.tuple_(embeddings.c.set_id, embeddings.c.ordinal)
        after: Key = (-1, -1)
        while page := self._embeddings(place > sa.tuple_(*after)):
            yield page
            after = page[-1].key

    def embeddings_at(self, keys: Collection[Key]) -> dict[Key, KeptEmbedding]:
        """Those of the embeddings that are still there."""
        wanted = set(keys)
        in_sets = self._embeddings(embeddings.c.set_id.in_({set_id for set_id, _ in wanted}), limit=None)
        return {kept.key: kept for kept in in_sets if kept.key in wanted}

    def embeddings_of(self, set_id: int) -> list[KeptEmbedding]:
        """One set, by place."""
        return self._embeddings(embeddings.c.set_id == set_id, limit=None)

    def _embeddings(self, which: sa.ColumnElement[bool], limit: int | None = _AT_ONCE) -> list[KeptEmbedding]:
        query = (
            sa.select(
                *embeddings.c["set_id", "ordinal", "point_id", "vector", "payload"],
                *embedding_sets.c["collection", "media_store_id", "job_id"],
                _is_newest().label("newest"),
                _is_on_its_way().label("on_its_way"),
            )
            .join(embedding_sets, embedding_sets.c.set_id == embeddings.c.set_id)
            .where(which)
            .order_by(embeddings.c.set_id, embeddings.c.ordinal)
            .limit(limit)
        )
        with reading(self._engine) as tx:
            return [_kept(row) for row in tx.execute(query)]

    def point_ids(self) -> Iterator[list[tuple[str, PointId]]]:
        """The points of all sets in pages, published or not, as (collection, id)."""
        query = sa.select(embeddings.c.point_id, embeddings.c.set_id, embeddings.c.ordinal, embedding_sets.c.collection)
        query = query.join(embedding_sets, embedding_sets.c.set_id == embeddings.c.set_id)
        place = sa.tuple_(embeddings.c.set_id, embeddings.c.ordinal)
        ordered, after = query.order_by(embeddings.c.set_id, embeddings.c.ordinal).limit(20 * _AT_ONCE), (-1, -1)
        while True:
            with reading(self._engine) as tx:
                rows = tx.execute(ordered.where(place > sa.tuple_(*after))).all()
            if not rows:
                return
            yield [(row.collection, row.point_id) for row in rows]
            after = (rows[-1].set_id, rows[-1].ordinal)

    def settled_jobs(self) -> Iterator[list[SettledJob]]:
        """All settled jobs in pages, by id."""
        after = ""
        while page := self._settled(jobs.c.job_id > after):
            yield page
            after = page[-1].job_id

    def settled_among(self, job_ids: Collection[str]) -> dict[str, SettledJob]:
        """Those of the jobs that are settled, at most a page of them."""
        return {job.job_id: job for job in self._settled(jobs.c.job_id.in_(job_ids))}

    def _settled(self, which: sa.ColumnElement[bool]) -> list[SettledJob]:
        newest_set = (
            sa.select(sa.func.max(embedding_sets.c.set_id))
            # The first two find it by the index; the third alone would read all sets for each job.
            .where(embedding_sets.c.collection.in_(sa.select(collections.c.name)))
            .where(embedding_sets.c.media_store_id == jobs.c.media_store_id)
            .where(embedding_sets.c.job_id == jobs.c.job_id)
            .label("set_id")
        )
        columns = jobs.c["job_id", "task_type", "status", "attempts", "completed_at", "result"]
        query = (
            sa.select(*columns, *jobs.c["artifact_files", "artifact_bytes"], newest_set)
            .where(which, is_settled())
            .order_by(jobs.c.job_id)
            .limit(_AT_ONCE)
        )
        with reading(self._engine) as tx:
            return [
                SettledJob(
                    job_id=row.job_id,
                    task_type=row.task_type,
                    status=JobStatus(row.status),
                    attempts=row.attempts,
                    completed_at=row.completed_at,
                    result=row.result,
                    files=row.artifact_files,
                    bytes=row.artifact_bytes,
                    set_id=row.set_id,
                )
                for row in tx.execute(query)
            ]

    def statuses(self, job_ids: Collection[str]) -> dict[str, JobStatus]:
        """The jobs that exist, with what they are at."""
        query = sa.select(*jobs.c["job_id", "status"]).where(jobs.c.job_id.in_(job_ids))
        with reading(self._engine) as tx:
            return {job_id: JobStatus(status) for job_id, status in tx.execute(query)}

    def lease_tokens(self) -> set[str]:
        """Those of all running attempts."""
        query = sa.select(queue.c.lease_token).where(queue.c.lease_token.is_not(None))
        with reading(self._engine) as tx:
            return {str(token) for token in tx.scalars(query)}

    def sets_of_points(self, point_ids: Sequence[PointId]) -> list[int]:
        """The sets that have one of these points. Reads all embeddings."""
        query = sa.select(embeddings.c.set_id).where(embeddings.c.point_id.in_(point_ids)).distinct()
        with reading(self._engine) as tx:
            return list(tx.scalars(query))


def is_settled() -> sa.ColumnElement[bool]:
    """Whether a job has an accepted result: completed, or on its way to the vector store."""
    worked_on = sa.exists().where(queue.c.job_id == jobs.c.job_id)
    return sa.and_(
        jobs.c.status.in_([JobStatus.COMPLETED, JobStatus.PROCESSING]), jobs.c.result.is_not(None), ~worked_on
    )


_other = embedding_sets.alias("other")
_of_same_item = (
    _other.c.collection == embedding_sets.c.collection,
    _other.c.media_store_id == embedding_sets.c.media_store_id,
)


def _is_newest() -> sa.ColumnElement[bool]:
    newer = sa.exists().where(
        *_of_same_item, _other.c.set_id > embedding_sets.c.set_id, _other.c.published_at.is_not(None)
    )
    return sa.and_(embedding_sets.c.published_at.is_not(None), ~newer)


def _is_on_its_way() -> sa.ColumnElement[bool]:
    """Whether a set of the same media item waits in the outbox; it may be the set itself."""
    return sa.exists().where(*_of_same_item, outbox.c.set_id == _other.c.set_id)


def _kept(row: sa.Row[*tuple[object, ...]]) -> KeptEmbedding:
    whole = row.vector[: len(row.vector) // 4 * 4]
    return KeptEmbedding(
        key=(row.set_id, row.ordinal),
        collection=row.collection,
        media_store_id=row.media_store_id,
        job_id=row.job_id,
        point_id=row.point_id,
        numbers=np.frombuffer(whole, "<f4"),
        payload=row.payload,
        newest=bool(row.newest),
        current=bool(row.newest and not row.on_its_way),
    )
