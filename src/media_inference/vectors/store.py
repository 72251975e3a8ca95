"""Where vectors are searched."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from media_inference.jobs.job import JsonObject
from media_inference.jobs.outcome import PointId, Vector

IMAGE_EMBEDDINGS = "image_embeddings"
FACES = "faces"
COLLECTIONS = (IMAGE_EMBEDDINGS, FACES)


@dataclass(frozen=True, slots=True)
class Point:
    """A vector with its id and payload, as it is stored."""

    id: PointId
    vector: Vector
    payload: JsonObject


@dataclass(frozen=True, slots=True)
class Hit:
    """A search result; ``score`` is the cosine."""

    id: PointId
    score: float
    payload: JsonObject


class VectorStore(Protocol):
    """The two collections of the contract: 512-d float32, cosine, one unnamed vector per point.

    Every method may raise `TransientError` (`vector_store_unavailable`). Safe to call from several threads.
    """

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Stores the points, replacing those of the same ids; they are searchable and durable on return."""
        ...

    def delete(self, collection: str, ids: Sequence[PointId]) -> None:
        """Removes points; unknown ids are no error."""
        ...

    def retrieve(self, collection: str, ids: Sequence[PointId]) -> list[Point]:
        """The points that exist, in any order."""
        ...

    def scroll(self, collection: str, page: int = 500) -> Iterator[list[Point]]:
        """All points in pages, by rising id: numbers first, then UUIDs.

        What changes meanwhile may or may not be seen; what does not is seen once.
        """
        ...

    def search(
        self,
        collection: str,
        vector: Vector,
        *,
        limit: int,
        score_threshold: float | None = None,
        without: PointId | None = None,
    ) -> list[Hit]:
        """The nearest points, best first, leaving out the point ``without``."""
        ...

    def count(self, collection: str) -> int:
        """How many points a collection has, exactly."""
        ...

    def check(self) -> None:
        """Raises when the store can't answer."""
        ...

    def close(self) -> None:
        """Flushes and lets go of what it holds."""
        ...
