"""What only the store on a Qdrant server must withstand: a server that is away, overloaded or set up for others."""

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from media_inference.errors import CannotStart, ErrorCode, TransientError
from media_inference.vectors.server_store import ServerStore
from media_inference.vectors.store import COLLECTIONS, FACES, Point
from tests.stands.qdrant_server import QdrantServer, qdrant_server

POINT = Point(1, np.eye(512, dtype=np.float32)[0], {})


@pytest.fixture
def server() -> Iterator[QdrantServer]:
    """A server without collections."""
    with qdrant_server() as running:
        yield running


def unavailable(store: ServerStore) -> TransientError:
    with pytest.raises(TransientError) as caught:
        store.upsert(FACES, [POINT])
    assert caught.value.code is ErrorCode.VECTOR_STORE_UNAVAILABLE
    return caught.value


def test_a_server_that_is_away_is_a_transient_error_that_names_no_address() -> None:
    with qdrant_server() as gone:
        url = gone.url
    store = ServerStore(url, timeout=5)
    assert "127.0.0.1" not in unavailable(store).message


def test_a_server_that_comes_later_is_prepared_then(server: QdrantServer) -> None:
    server.refuse(503)
    store = ServerStore(server.url, timeout=5)
    unavailable(store)
    server.accept()
    store.upsert(FACES, [POINT])
    assert store.count(FACES) == 1


def test_a_collection_that_vanished_is_made_anew_at_the_next_call(server: QdrantServer) -> None:
    store = ServerStore(server.url, timeout=5)
    server.drop("image_embeddings")
    with pytest.raises(TransientError, match="404"):
        store.count("image_embeddings")
    assert store.count(FACES) == 0
    assert "PUT /collections/image_embeddings" in server.requests[-6:]


def test_an_overloaded_server_says_when_to_come_back(server: QdrantServer) -> None:
    store = ServerStore(server.url, timeout=5)
    server.refuse(429, {"Retry-After": "7"})
    assert unavailable(store).retry_after == 7


def test_an_answer_that_is_not_qdrants_is_a_transient_error(server: QdrantServer) -> None:
    store = ServerStore(server.url, timeout=5)
    server.refuse(200)
    with pytest.raises(TransientError):
        store.count(FACES)


@pytest.mark.parametrize(
    "vectors",
    [{"size": 4, "distance": "Cosine"}, {"size": 512, "distance": "Dot"}, {"size": 512, "distance": "Euclid"}],
)
def test_a_collection_of_another_shape_stops_the_start(server: QdrantServer, vectors: dict[str, object]) -> None:
    server.create(FACES, vectors)
    with pytest.raises(CannotStart, match="'faces'") as caught:
        ServerStore(server.url, timeout=5)
    assert "\n" not in str(caught.value)


def test_existing_collections_are_left_as_they_are(server: QdrantServer) -> None:
    for collection in COLLECTIONS:
        server.create(collection, {"size": 512, "distance": "Cosine"})
    ServerStore(server.url, timeout=5)
    assert not [request for request in server.requests if request.startswith("PUT")]


def test_a_collection_that_another_process_makes_at_the_same_time_is_taken(server: QdrantServer) -> None:
    stores = [ServerStore(server.url, timeout=5) for _ in range(2)]
    stores[0].upsert(FACES, [POINT])
    assert stores[1].count(FACES) == 1


def test_a_proxy_named_in_the_environment_is_not_used(server: QdrantServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    store = ServerStore(server.url, timeout=5)
    assert store.count(FACES) == 0


def test_an_address_that_is_none_stops_the_start() -> None:
    with pytest.raises(CannotStart, match="QDRANT_URL"):
        ServerStore("ftp://localhost:1", timeout=5)


def test_without_the_client_the_start_names_the_package_to_install() -> None:
    program = """
import sys
from pathlib import Path
sys.modules["qdrant_client"] = None
from media_inference.errors import CannotStart
from media_inference.vectors.catalog import open_vector_store
try:
    open_vector_store("http://127.0.0.1:6333", Path("unused"))
except CannotStart as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'media-inference[qdrant]'" in done.stdout


def test_the_embedded_store_does_not_load_the_client() -> None:
    program = "import sys, media_inference.vectors.catalog; sys.exit('qdrant_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
