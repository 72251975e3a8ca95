"""The vectors on a Qdrant server, over REST. Needs the extra ``qdrant``: `catalog` imports this file when asked to."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import ceil

import numpy as np
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse
from qdrant_client.models import Distance, Filter, HasIdCondition, PointIdsList, PointStruct, Record, VectorParams

from media_inference.errors import CannotStart, ErrorCode, TransientError
from media_inference.jobs.outcome import PointId, Vector
from media_inference.models.kinds import DIMENSION
from media_inference.vectors.store import COLLECTIONS, Hit, Point

_POINTS_PER_REQUEST = 500  # about 6 MB of JSON; a server takes 32 MB at most unless told otherwise


class ServerStore:
    """The two collections on the Qdrant server at ``url``, made there when they are missing.

    A server that is away at the start is no error, it may come later; a collection of another shape is: `CannotStart`.
    ``timeout``: seconds for one answer. Proxies named in the environment are not used.
    """

    def __init__(self, url: str, timeout: float) -> None:
        try:
            self._client = QdrantClient(url=url, timeout=ceil(timeout), check_compatibility=False, trust_env=False)
        except ValueError as error:
            raise CannotStart(f"QDRANT_URL is no address of a Qdrant server: {error}") from error
        self._lock = threading.Lock()
        self._prepared = False
        with suppress(TransientError):
            self._prepare()

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Stores the points, replacing those of the same ids; they are searchable and durable on return."""
        structs = [PointStruct(id=point.id, vector=point.vector.tolist(), payload=point.payload) for point in points]
        for start in range(0, len(structs), _POINTS_PER_REQUEST):
            with self._server() as server:
                server.upsert(collection, structs[start : start + _POINTS_PER_REQUEST], wait=True)

    def delete(self, collection: str, ids: Sequence[PointId]) -> None:
        """Removes points; unknown ids are no error."""
        if ids:
            with self._server() as server:
                server.delete(collection, PointIdsList(points=list(ids)), wait=True)

    def retrieve(self, collection: str, ids: Sequence[PointId]) -> list[Point]:
        """The points that exist, in any order."""
        with self._server() as server:
            return [_point(record) for record in server.retrieve(collection, list(ids), with_vectors=True)]

    def scroll(self, collection: str, page: int = 500) -> Iterator[list[Point]]:
        """All points in pages, by rising id."""
        start: PointId | None = None
        while True:
            with self._server() as server:
                records, following = server.scroll(collection, limit=page, offset=start, with_vectors=True)
            if records:
                yield [_point(record) for record in records]
            if following is None:
                return
            start = _point_id(following)

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
        with self._server() as server:
            answer = server.query_points(
                collection,
                query=vector.tolist(),
                query_filter=None if without is None else Filter(must_not=[HasIdCondition(has_id=[without])]),
                limit=limit,
                score_threshold=score_threshold,
            )
            return [Hit(_point_id(found.id), found.score, found.payload or {}) for found in answer.points]

    def count(self, collection: str) -> int:
        """How many points a collection has, exactly."""
        with self._server() as server:
            return server.count(collection, exact=True).count

    def check(self) -> None:
        """Raises when the server can't answer for a collection."""
        for collection in COLLECTIONS:
            self.count(collection)

    def close(self) -> None:
        """Lets the connections go."""
        self._client.close()

    @contextmanager
    def _server(self) -> Iterator[QdrantClient]:
        """The server, with both collections in place. After any error they are looked at anew by the next call."""
        with self._lock:
            if not self._prepared:
                self._prepare_late()
        try:
            with _errors_mapped():
                yield self._client
        except TransientError:
            self._prepared = False
            raise

    def _prepare_late(self) -> None:
        try:
            self._prepare()
        except CannotStart as error:
            raise _unavailable("the vector store has a collection of another shape") from error

    def _prepare(self) -> None:
        with _errors_mapped():
            for collection in COLLECTIONS:
                if not self._client.collection_exists(collection):
                    _create(self._client, collection)
                _require_shape(self._client, collection)
        self._prepared = True


def _create(client: QdrantClient, collection: str) -> None:
    try:
        client.create_collection(collection, VectorParams(size=DIMENSION, distance=Distance.COSINE))
    except UnexpectedResponse as error:
        if error.status_code != 409:  # another process made it just now
            raise


def _require_shape(client: QdrantClient, collection: str) -> None:
    vectors = client.get_collection(collection).config.params.vectors
    if not (isinstance(vectors, VectorParams) and (vectors.size, vectors.distance) == (DIMENSION, Distance.COSINE)):
        raise CannotStart(
            f"the collection {collection!r} on the Qdrant server at QDRANT_URL does not hold one unnamed vector of "
            f"{DIMENSION} numbers with cosine distance: delete or rename it there, or use another server"
        )


@contextmanager
def _errors_mapped() -> Iterator[None]:
    try:
        yield
    except ResourceExhaustedResponse as error:
        raise _unavailable("the vector store is overloaded", retry_after=float(error.retry_after_s)) from error
    except UnexpectedResponse as error:
        raise _unavailable(f"the vector store answered with HTTP status {error.status_code}") from error
    except (ApiException, QdrantException, ValueError, AssertionError) as error:
        # The client asserts that an answer has a result, and parses it: the last two are answers that are not Qdrant's.
        raise _unavailable("the vector store can't be reached") from error


def _point(record: Record) -> Point:
    return Point(_point_id(record.id), np.asarray(record.vector, np.float32), record.payload or {})


def _point_id(server_id: object) -> PointId:
    return server_id if isinstance(server_id, int) else str(server_id)


def _unavailable(message: str, retry_after: float | None = None) -> TransientError:
    return TransientError(ErrorCode.VECTOR_STORE_UNAVAILABLE, message, retry_after=retry_after)
