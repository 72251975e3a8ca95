"""The vector store against the database, both ways.

Memory: a page of points, and 32 bytes for each embedding of the database.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from media_inference.audit.finding import RUN_AGAIN, Batch, Finding
from media_inference.audit.id_set import IdSet
from media_inference.audit.point_mending import PointMending
from media_inference.jobs.job import JobStatus
from media_inference.jobs.outcome import PointId
from media_inference.models.kinds import DIMENSION
from media_inference.queue.inventory import Inventory, KeptEmbedding
from media_inference.queue.repairs import Repairs
from media_inference.vectors.store import COLLECTIONS, Point, VectorStore

_AT_ONCE = 500
_LENGTH_TOLERANCE = 1e-3
_VECTOR_TOLERANCE = 1e-5
"""A store normalizes what it is given once more, which moves the last bits."""

_WHAT = {
    "point_missing": "not in the vector store",
    "point_zeroed": "a vector whose length is not 1",
    "point_of_another_model": "a payload that names another model",
    "point_stale": "not the vector or the payload of the newest embedding set",
}


class PointCheck:
    """Compares every embedding that the vector store must show with its point, and looks for points beyond them."""

    def __init__(self, inventory: Inventory, vectors: VectorStore, mending: PointMending, repairs: Repairs) -> None:
        self._inventory = inventory
        self._vectors = vectors
        self._mending = mending
        self._repairs = repairs

    def __call__(self) -> Iterator[Batch]:
        """All batches."""
        known = {collection: IdSet() for collection in COLLECTIONS}
        for page in self._inventory.embeddings():
            yield from self._damaged([each for each in page if each.current and not is_sound(each.numbers)])
            for collection in COLLECTIONS:
                kept = [embedding for embedding in page if embedding.collection == collection]
                known[collection].add(embedding.point_id for embedding in kept)
                yield from self._compare(collection, [embedding for embedding in kept if embedding.current])
        for collection in COLLECTIONS:
            yield from self._orphans(collection, known[collection])

    def _compare(self, collection: str, kept: Sequence[KeptEmbedding]) -> Iterator[Batch]:
        sound = [embedding for embedding in kept if is_sound(embedding.numbers)]
        found = {point.id: point for point in self._vectors.retrieve(collection, [each.point_id for each in sound])}
        wrong = {each.key: kind for each in sound if (kind := fault(each, found.get(each.point_id)))}
        # Sets only come and go by new ones. If a set is current now too, nobody published for its item in between.
        still = [each for each in self._inventory.embeddings_at(wrong).values() if each.current] if wrong else []
        if still:
            findings = [_finding(each, wrong[each.key], self._mending.remedy) for each in still]
            yield Batch(findings, partial(self._mending.store, collection, still))

    def _damaged(self, kept: Sequence[KeptEmbedding]) -> Iterator[Batch]:
        """Embeddings that are none, in the database itself: only the photo can tell what they were."""
        statuses = self._inventory.statuses({each.job_id for each in kept}) if kept else {}
        for each in kept:
            match statuses.get(each.job_id):
                case JobStatus.COMPLETED:
                    mend = partial(self._repairs.run_again, [each.job_id])
                    yield Batch([_damage(each, RUN_AGAIN)], mend)
                case None | JobStatus.FAILED:
                    yield Batch([_damage(each, None)], None)

    def _orphans(self, collection: str, known: IdSet) -> Iterator[Batch]:
        """Points that no set has. A set is in the database before its points are stored, so an id that the database
        has neither before nor after a look at the store is nobody's.
        """
        suspects: list[PointId] = []
        for page in self._vectors.scroll(collection):
            suspects += known.without(point.id for point in page)
        if not suspects:
            return
        known_now = self._known_now(collection)
        for start in range(0, len(suspects), _AT_ONCE):
            there = self._vectors.retrieve(collection, known_now.without(suspects[start : start + _AT_ONCE]))
            findings = [_orphan(collection, point) for point in there]
            if findings:
                yield Batch(findings, partial(self._mending.delete, collection, [point.id for point in there]))

    def _known_now(self, collection: str) -> IdSet:
        known = IdSet()
        for page in self._inventory.point_ids():
            known.add(point_id for of, point_id in page if of == collection)
        return known


def is_sound(numbers: NDArray[np.float32]) -> bool:
    """Whether these are an embedding's numbers: 512, finite, of length 1."""
    if len(numbers) != DIMENSION:
        return False
    return bool(abs(float(np.linalg.norm(numbers.astype(np.float64))) - 1.0) <= _LENGTH_TOLERANCE)


def fault(kept: KeptEmbedding, found: Point | None) -> str | None:
    """What is wrong with the point of an embedding, as the kind of a finding."""
    if found is None:
        return "point_missing"
    if not is_sound(found.vector):
        return "point_zeroed"
    if found.payload.get("model") != kept.payload.get("model"):
        return "point_of_another_model"
    if found.payload != kept.payload or not np.allclose(found.vector, kept.numbers, rtol=0, atol=_VECTOR_TOLERANCE):
        return "point_stale"
    return None


def _finding(kept: KeptEmbedding, kind: str, remedy: str) -> Finding:
    what = f"{_WHAT[kind]}; of {kept.media_store_id}, job {kept.job_id}"
    return Finding(kind, f"{kept.collection}/{kept.point_id}", what, remedy)


def _damage(kept: KeptEmbedding, remedy: str | None) -> Finding:
    what = f"an embedding in the database that is no vector of length 1; of {kept.media_store_id}, job {kept.job_id}"
    what += "" if remedy else ", which can't run again: post a new one for it"
    return Finding("embedding_damaged", f"{kept.collection}/{kept.point_id}", what, remedy)


def _orphan(collection: str, point: Point) -> Finding:
    media = point.payload.get("media_store_id", "an unknown media item")
    return Finding("point_orphaned", f"{collection}/{point.id}", f"no embedding set has it; it says {media}", "deleted")
