"""Carries accepted embeddings into the vector store; only then is a job completed."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from media_inference.failpoints import Failpoint, failpoint
from media_inference.jobs.outcome import PointId
from media_inference.queue.outbox import Outbox, OutboxEntry, Publication
from media_inference.vectors.store import Point, VectorStore

AT_ONCE = 64
"""Most entries of a round."""
MOST_POINTS = 512
"""Points that are stored together; one entry alone may have more."""


@dataclass(frozen=True, slots=True)
class VectorPublisher:
    """Applies the outbox in its order. Every step can be repeated: a crash in between costs nothing but time.

    Entries share every step: the store syncs once for all, and one transaction acknowledges all. Of several outcomes of
    one media item only the last is stored: it would replace the others at once.
    """

    outbox: Outbox
    vectors: VectorStore

    def publish_some(self) -> int:
        """Publishes the oldest entries and returns how many.

        Raises `TransientError` (`vector_store_unavailable`); what was not published then is still in the outbox.
        """
        entries = self.outbox.waiting(AT_ONCE)
        done = 0
        while done < len(entries):
            done += self._publish(entries[done:])
        return done

    def _publish(self, entries: Sequence[OutboxEntry]) -> int:
        """Publishes the first entries together, as many as may be, and returns how many."""
        entries = _together(entries)
        last = _last_of_items(entries)
        publications = self.outbox.publications(last)
        if _concern_each_other(last, publications):
            entries = last = entries[:1]
            publications = self.outbox.publications(last)
        _pass(Failpoint.PUBLISH_BEFORE_UPSERT, entries)
        points, stale = defaultdict[str, list[Point]](list), defaultdict[str, list[PointId]](list)
        for entry, publication in zip(last, publications, strict=True):
            points[entry.collection] += [Point(e.point_id, e.vector, e.payload) for e in publication.embeddings]
            stale[entry.collection] += publication.stale
        for collection, some in points.items():
            if some:
                self.vectors.upsert(collection, some)
        _pass(Failpoint.PUBLISH_AFTER_UPSERT, entries)
        for collection, ids in stale.items():
            if ids:
                self.vectors.delete(collection, ids)
        _pass(Failpoint.PUBLISH_AFTER_DELETE, entries)
        self.outbox.acknowledge(*entries)
        return len(entries)


def _together(entries: Sequence[OutboxEntry]) -> Sequence[OutboxEntry]:
    """The first entries, until there are too many points to store."""
    points: dict[tuple[str, str], int] = {}
    for place, entry in enumerate(entries):
        points[entry.collection, entry.media_store_id] = entry.points
        if place and sum(points.values()) > MOST_POINTS:
            return entries[:place]
    return entries


def _last_of_items(entries: Sequence[OutboxEntry]) -> Sequence[OutboxEntry]:
    """The last outcome of each media item among these, in their order."""
    last = {(entry.collection, entry.media_store_id): entry for entry in entries}
    return sorted(last.values(), key=lambda entry: entry.entry_id)


def _concern_each_other(entries: Sequence[OutboxEntry], publications: Sequence[Publication]) -> bool:
    """Whether a point of one is stored or given up by another: then their order counts."""
    touched = set[tuple[str, PointId]]()
    for entry, publication in zip(entries, publications, strict=True):
        own = {(entry.collection, embedding.point_id) for embedding in publication.embeddings}
        own.update((entry.collection, point_id) for point_id in publication.stale)
        if touched & own:
            return True
        touched |= own
    return False


def _pass(point: Failpoint, entries: Sequence[OutboxEntry]) -> None:
    for entry in entries:
        failpoint(point, entry.media_store_id)
