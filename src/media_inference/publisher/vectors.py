"""Carries accepted embeddings into the vector store; only then is a job completed."""

from dataclasses import dataclass

from media_inference.failpoints import Failpoint, failpoint
from media_inference.queue.outbox import Outbox, OutboxEntry
from media_inference.vectors.store import Point, VectorStore

_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class VectorPublisher:
    """Applies the outbox in its order. Every step can be repeated: a crash in between costs nothing but time."""

    outbox: Outbox
    vectors: VectorStore

    def publish_some(self) -> int:
        """Publishes the oldest entries and returns how many.

        Raises `TransientError` (`vector_store_unavailable`); what was not published then is still in the outbox.
        """
        entries = self.outbox.waiting(_AT_ONCE)
        for entry in entries:
            self._publish(entry)
        return len(entries)

    def _publish(self, entry: OutboxEntry) -> None:
        publication = self.outbox.publication(entry)
        points = [Point(item.point_id, item.vector, item.payload) for item in publication.embeddings]
        failpoint(Failpoint.PUBLISH_BEFORE_UPSERT, entry.media_store_id)
        if points:
            self.vectors.upsert(entry.collection, points)
        failpoint(Failpoint.PUBLISH_AFTER_UPSERT, entry.media_store_id)
        if publication.stale:
            self.vectors.delete(entry.collection, publication.stale)
        failpoint(Failpoint.PUBLISH_AFTER_DELETE, entry.media_store_id)
        self.outbox.acknowledge(entry)
