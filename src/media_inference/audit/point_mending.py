"""How points are put right, by who else may write them."""

from collections.abc import Sequence
from typing import Protocol

from media_inference.jobs.outcome import PointId
from media_inference.queue.inventory import Inventory, KeptEmbedding
from media_inference.queue.repairs import Repairs
from media_inference.vectors.store import Point, VectorStore


class PointMending(Protocol):
    """Puts points right. ``remedy``: how, in words."""

    @property
    def remedy(self) -> str:
        """What `store` does."""
        ...

    def store(self, collection: str, kept: Sequence[KeptEmbedding]) -> None:
        """Sees to it that the vector store has the points of these embeddings."""
        ...

    def delete(self, collection: str, ids: Sequence[PointId]) -> None:
        """Removes points that no embedding has."""
        ...


class DirectMending:
    """Writes into the vector store. Only while no publisher does: it could be overtaken by a newer set."""

    remedy = "stored again from the database"

    def __init__(self, vectors: VectorStore) -> None:
        self._vectors = vectors

    def store(self, collection: str, kept: Sequence[KeptEmbedding]) -> None:
        """Stores the points at once."""
        self._vectors.upsert(collection, [Point(each.point_id, each.numbers, each.payload) for each in kept])

    def delete(self, collection: str, ids: Sequence[PointId]) -> None:
        """Removes the points at once."""
        self._vectors.delete(collection, ids)


class OutboxMending:
    """Leaves it to the running publisher, which alone knows what else is on its way."""

    remedy = "put into the outbox; the publisher stores it again"

    def __init__(self, vectors: VectorStore, inventory: Inventory, repairs: Repairs) -> None:
        self._vectors = vectors
        self._inventory = inventory
        self._repairs = repairs

    def store(self, _collection: str, kept: Sequence[KeptEmbedding]) -> None:
        """Has the sets published again."""
        self._repairs.publish_again(sorted({each.key[0] for each in kept}))

    def delete(self, collection: str, ids: Sequence[PointId]) -> None:
        """Removes the points, and has those published again that somebody stored at the same moment."""
        self._vectors.delete(collection, ids)
        self._repairs.publish_again(self._inventory.sets_of_points(ids))
