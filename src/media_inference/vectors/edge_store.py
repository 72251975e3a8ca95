"""The embedded vector store: one Qdrant Edge shard per collection."""

import fcntl
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from qdrant_edge import (
    CountRequest,
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeVectorParams,
    Filter,
    HasIdCondition,
    Query,
    QueryRequest,
    Record,
    UpdateOperation,
)
from qdrant_edge import Point as EdgePoint

from media_inference.errors import CannotStart, ErrorCode, StoreInUse, TransientError
from media_inference.jobs.outcome import PointId, Vector
from media_inference.models.kinds import DIMENSION
from media_inference.vectors.store import COLLECTIONS, Hit, Point

_HALF_MADE = ".new"


class EdgeStore:
    """The shards in ``{folder}/{collection}``; one process at a time may hold them.

    Raises `CannotStart` when another process holds them or a shard can't be opened. Searches are exact: the index that
    would make them approximate is only built by `EdgeShard.optimize`, which nothing here calls.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._ownership = _own(folder)
        self._shards: dict[str, EdgeShard] = {}
        try:
            for collection in COLLECTIONS:
                self._shards[collection] = _open_shard(folder / collection)
        except CannotStart:
            self.close()
            raise

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Stores the points, replacing those of the same ids; they are searchable and durable on return."""
        if points:
            edge_points = [EdgePoint(point.id, point.vector.tolist(), point.payload) for point in points]
            self._update(collection, UpdateOperation.upsert_points(edge_points))

    def delete(self, collection: str, ids: Sequence[PointId]) -> None:
        """Removes points; unknown ids are no error."""
        if ids:
            self._update(collection, UpdateOperation.delete_points(list(ids)))

    def retrieve(self, collection: str, ids: Sequence[PointId]) -> list[Point]:
        """The points that exist, in any order."""
        with self._shard(collection) as shard:
            return [_point(record) for record in shard.retrieve(list(ids), with_payload=True, with_vector=True)]

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
        request = QueryRequest(
            limit=limit,
            query=Query.Nearest(vector.tolist()),
            filter=None if without is None else Filter(must_not=[HasIdCondition({without})]),
            score_threshold=score_threshold,
            with_payload=True,
        )
        with self._shard(collection) as shard:
            return [Hit(_point_id(found.id), found.score, found.payload or {}) for found in shard.query(request)]

    def count(self, collection: str) -> int:
        """How many points a collection has, exactly."""
        with self._shard(collection) as shard:
            return shard.count(CountRequest(exact=True))

    def check(self) -> None:
        """Raises when a shard can't answer."""
        for collection in COLLECTIONS:
            self.count(collection)

    def close(self) -> None:
        """Flushes, closes the shards and lets another process have them."""
        with self._lock:
            while self._shards:
                _, shard = self._shards.popitem()
                shard.close()
            if self._ownership is not None:
                os.close(self._ownership)
                self._ownership = None

    def _update(self, collection: str, operation: UpdateOperation) -> None:
        with self._shard(collection) as shard:
            shard.update(operation)
            # An update alone lies in a mapped write-ahead log that is not synced (seen with strace on 0.9.0): it
            # survives a kill, but not a power cut.
            shard.flush()

    @contextmanager
    def _shard(self, collection: str) -> Iterator[EdgeShard]:
        with self._lock:
            shard = self._shards.get(collection)
            if shard is None:
                raise _unavailable("the vector store is closed")
            try:
                yield shard
            except Exception as error:  # the engine raises nothing narrower
                raise _unavailable("the vector store could not answer") from error


def _own(folder: Path) -> int | None:
    """Takes the folder for this process until the returned descriptor is closed, or the process ends however it may."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotStart(f"the vector store in {folder} can't be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise _held_elsewhere(folder) from error
    return descriptor


def _open_shard(path: Path) -> EdgeShard:
    """Loads a shard, or makes it: under another name first, so that a crash on the way leaves nothing half made."""
    try:
        if not path.exists():
            _make_shard(path)
        return EdgeShard.load(str(path), _config())
    except Exception as error:  # the engine raises nothing narrower
        if "WouldBlock" in str(error):  # its write-ahead log is locked, by a program that does not know our lock
            raise _held_elsewhere(path.parent) from error
        raise CannotStart(f"the vector collection in {path} can't be opened: {error}") from error


def _make_shard(path: Path) -> None:
    half_made = path.with_name(path.name + _HALF_MADE)
    shutil.rmtree(half_made, ignore_errors=True)
    EdgeShard.create(str(half_made), _config()).close()
    for folder, _, names in os.walk(half_made):
        for name in names:
            _sync(Path(folder, name))
        _sync(Path(folder))
    half_made.rename(path)
    _sync(path.parent)


def _config() -> EdgeConfig:
    return EdgeConfig(vectors=EdgeVectorParams(size=DIMENSION, distance=Distance.Cosine), wal_enabled=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _point(record: Record) -> Point:
    return Point(_point_id(record.id), np.asarray(record.vector, np.float32), record.payload or {})


def _point_id(engine_id: object) -> PointId:
    return engine_id if isinstance(engine_id, int) else str(engine_id)


def _held_elsewhere(folder: Path) -> StoreInUse:
    return StoreInUse(
        f"the vector store in {folder} is in use by another process: stop that one, "
        "or set DATABASE_DIR to another folder, or QDRANT_URL to a Qdrant server"
    )


def _unavailable(message: str) -> TransientError:
    return TransientError(ErrorCode.VECTOR_STORE_UNAVAILABLE, message)
