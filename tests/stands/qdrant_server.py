"""A Qdrant server on loopback: the part of its REST API that qdrant-client uses, over the real Qdrant Edge engine."""

import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_edge import (
    CountRequest,
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeVectorParams,
    Filter,
    HasIdCondition,
    Point,
    Query,
    QueryRequest,
    ScrollRequest,
    UpdateOperation,
)

from media_inference.jobs.outcome import PointId
from media_inference.vectors.store import Point as StoredPoint

Json = dict[str, Any]


class QdrantServer:
    """The collections of one server. ``refuse`` makes every later request fail."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._shards: dict[str, EdgeShard] = {}
        self._shapes: dict[str, Json] = {}
        self._refusal: tuple[int, dict[str, str]] | None = None
        self.requests: list[str] = []
        self.url = ""

    def refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
        """From now on every request is answered with this status."""
        self._refusal = (status, headers or {})

    def accept(self) -> None:
        """Ends what `refuse` began."""
        self._refusal = None

    def create(self, name: str, vectors: Json) -> None:
        """Makes a collection as a client's PUT would."""
        size, distance = int(vectors["size"]), getattr(Distance, str(vectors["distance"]))
        config = EdgeConfig(vectors=EdgeVectorParams(size=size, distance=distance))
        self._shards[name] = EdgeShard.create(str(self._folder / name), config)
        self._shapes[name] = vectors

    def shard(self, name: str) -> EdgeShard:
        """A collection's own engine, for whoever tampers with it while no request runs."""
        return self._shards[name]

    def drop(self, name: str) -> None:
        """Removes a collection and its points."""
        self._shards.pop(name).close()
        shutil.rmtree(self._folder / name)
        del self._shapes[name]

    def points(self) -> dict[tuple[str, PointId], StoredPoint]:
        """All points with their vectors, by collection and id."""
        with self._lock:
            return {(name, point.id): point for name, shard in self._shards.items() for point in scroll(shard)}

    def close(self) -> None:
        """Closes the shards."""
        for shard in self._shards.values():
            shard.close()

    def answer(self, method: str, path: str, body: Json) -> tuple[int, dict[str, str], Any]:
        """Status, headers and result of one request."""
        with self._lock:
            self.requests.append(f"{method} {path}")
            if self._refusal is not None:
                return *self._refusal, None
            _, _, name, *rest = path.partition("?")[0].split("/")
            if rest == ["exists"]:
                return 200, {}, {"exists": name in self._shards}
            if method == "PUT" and not rest:
                return self._create(name, body)
            if name not in self._shards:
                return 404, {}, None
            return 200, {}, self._on_collection(f"{method} {'/'.join(rest)}", name, body)

    def _create(self, name: str, body: Json) -> tuple[int, dict[str, str], Any]:
        if name in self._shards:
            return 409, {}, None
        self.create(name, body["vectors"])
        return 200, {}, True

    def _on_collection(self, request: str, name: str, body: Json) -> Any:
        handlers: dict[str, Callable[[EdgeShard, Json], Any]] = {
            "PUT points": _upsert,
            "POST points": _retrieve,
            "POST points/delete": _delete,
            "POST points/query": _query,
            "POST points/count": _count,
            "POST points/scroll": _scroll,
        }
        if request == "GET ":
            return _description(self._shapes[name])
        return handlers[request](self._shards[name], body)


def scroll(shard: EdgeShard) -> Iterator[StoredPoint]:
    """All points of a shard."""
    offset = None
    while True:
        page, offset = shard.scroll(ScrollRequest(offset=offset, limit=1000, with_payload=True, with_vector=True))
        for record in page:
            yield StoredPoint(_id(record.id), np.asarray(record.vector, np.float32), record.payload or {})
        if offset is None:
            return


def _upsert(shard: EdgeShard, body: Json) -> Json:
    points = [Point(point["id"], point["vector"], point["payload"]) for point in body["points"]]
    shard.update(UpdateOperation.upsert_points(points))
    return {"operation_id": 0, "status": "completed"}


def _delete(shard: EdgeShard, body: Json) -> Json:
    shard.update(UpdateOperation.delete_points(body["points"]))
    return {"operation_id": 0, "status": "completed"}


def _retrieve(shard: EdgeShard, body: Json) -> list[Json]:
    records = shard.retrieve(body["ids"], with_payload=True, with_vector=True)
    return [{"id": _id(record.id), "payload": record.payload, "vector": record.vector} for record in records]


def _scroll(shard: EdgeShard, body: Json) -> Json:
    request = ScrollRequest(
        offset=body.get("offset"),
        limit=body["limit"],
        with_payload=body["with_payload"],
        with_vector=body["with_vector"],
    )
    records, following = shard.scroll(request)
    points = [{"id": _id(record.id), "payload": record.payload, "vector": record.vector} for record in records]
    return {"points": points, "next_page_offset": None if following is None else _id(following)}


def _query(shard: EdgeShard, body: Json) -> Json:
    request = QueryRequest(
        limit=body["limit"],
        query=Query.Nearest(body["query"]["nearest"]),
        filter=_filter(body.get("filter")),
        score_threshold=body.get("score_threshold"),
        with_payload=body["with_payload"],
    )
    found = shard.query(request)
    return {"points": [{"id": _id(hit.id), "version": 0, "score": hit.score, "payload": hit.payload} for hit in found]}


def _filter(body: Json | None) -> Filter | None:
    if body is None:
        return None
    return Filter(must_not=[HasIdCondition(set(condition["has_id"])) for condition in body["must_not"]])


def _count(shard: EdgeShard, body: Json) -> Json:
    return {"count": shard.count(CountRequest(exact=body["exact"]))}


def _description(vectors: Json) -> Json:
    return {
        "status": "green",
        "optimizer_status": "ok",
        "segments_count": 1,
        "points_count": 0,
        "indexed_vectors_count": 0,
        "payload_schema": {},
        "config": {
            "params": {"vectors": vectors},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
            "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
        },
    }


def _id(engine_id: object) -> int | str:
    return engine_id if isinstance(engine_id, int) else str(engine_id)


def _handler(server: QdrantServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            status, headers, result = server.answer(self.command, self.path, body)
            content = json.dumps({"result": result, "status": "ok", "time": 0.0}).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = _serve  # noqa: N815 - the names are the superclass's

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the superclass's
            pass

    return Handler


@contextmanager
def qdrant_server() -> Iterator[QdrantServer]:
    """A running server without collections; its address is ``url``."""
    with tempfile.TemporaryDirectory() as folder:
        server = QdrantServer(Path(folder))
        http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), name="qdrant-stand")
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            http.server_close()
            thread.join()
            server.close()
