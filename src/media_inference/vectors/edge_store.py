"""The embedded vector store: one Qdrant Edge shard per collection."""

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
    ScrollRequest,
    UpdateOperation,
)
from qdrant_edge import Point as EdgePoint

from media_inference.errors import CannotStart, DependencyAway, ErrorCode, StoreInUse, TransientError
from media_inference.file_lock import hold
from media_inference.jobs.outcome import PointId, Vector
from media_inference.models.kinds import DIMENSION
from media_inference.room import LEAST_ROOM, Room
from media_inference.vectors.store import COLLECTIONS, Hit, Point

_HALF_MADE = ".new"

_BYTES_PER_POINT = 16 * 1024
"""What a point may take, twice its vector and payload with room to spare: it goes into the log and into a segment."""


class EdgeStore:
    """The shards in ``{folder}/{collection}``; one process at a time may hold them.

    Raises `CannotStart` when another process holds them or a shard can't be opened. Searches are exact: the index that
    would make them approximate is only built by `EdgeShard.optimize`, which nothing here calls.

    The engine maps files that have holes, and a disk that can't fill one ends the process (SIGBUS, seen on 0.9.0): so
    it is asked to write only while the disk has ``min_free`` bytes left, and opened only with `LEAST_ROOM`.
    """

    def __init__(self, folder: Path, min_free: int = LEAST_ROOM) -> None:
        self._lock = threading.Lock()
        self._room = Room(folder, "vectors", min_free)
        self._ownership: int | None = _own(folder)
        self._shards: dict[str, EdgeShard] = {}
        try:
            _require_room_to_open(folder)
            for collection in COLLECTIONS:
                self._shards[collection] = _open_shard(folder / collection)
        except CannotStart:
            self.close()
            raise

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Stores the points, replacing those of the same ids; they are searchable and durable on return."""
        if points:
            edge_points = [EdgePoint(point.id, point.vector.tolist(), point.payload) for point in points]
            self._update(collection, UpdateOperation.upsert_points(edge_points), len(points) * _BYTES_PER_POINT)

    def delete(self, collection: str, ids: Sequence[PointId]) -> None:
        """Removes points; unknown ids are no error."""
        if ids:
            self._update(collection, UpdateOperation.delete_points(list(ids)))

    def retrieve(self, collection: str, ids: Sequence[PointId]) -> list[Point]:
        """The points that exist, in any order."""
        with self._shard(collection) as shard:
            return [_point(record) for record in shard.retrieve(list(ids), with_payload=True, with_vector=True)]

    def scroll(self, collection: str, page: int = 500) -> Iterator[list[Point]]:
        """All points in pages, by rising id."""
        start: PointId | None = None
        while True:
            request = ScrollRequest(offset=start, limit=page, with_payload=True, with_vector=True)
            with self._shard(collection) as shard:
                records, following = shard.scroll(request)
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
            info = shard.info()
            if info.segments_count == 1:  # always, as nothing optimises; then no point can stand in two of them
                return info.points_count
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

    def _update(self, collection: str, operation: UpdateOperation, size: int = 0) -> None:
        with self._shard(collection) as shard:
            self._room.require(size)
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
            except DependencyAway:
                raise
            except Exception as error:  # the engine raises nothing narrower
                raise _unavailable("the vector store could not answer") from error


def _own(folder: Path) -> int:
    """Takes the folder for this process until the returned descriptor is closed, or the process ends however it may."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return hold(folder / ".lock")
    except BlockingIOError as error:
        raise _held_elsewhere(folder) from error
    except OSError as error:
        raise CannotStart(f"the vector store in {folder} can't be opened: {error.strerror}") from error


def _require_room_to_open(folder: Path) -> None:
    try:
        Room(folder, "vectors").require()
    except DependencyAway as error:
        raise CannotStart(
            f"the vector store in {folder} can't be opened: its disk needs {LEAST_ROOM >> 20} MiB of room; free some"
        ) from error


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
