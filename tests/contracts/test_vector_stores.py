"""One suite for every vector store."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from media_inference.errors import ErrorCode, TransientError
from media_inference.jobs.outcome import PointId, Vector
from media_inference.vectors.catalog import open_vector_store
from media_inference.vectors.point_ids import image_point_id
from media_inference.vectors.store import COLLECTIONS, FACES, IMAGE_EMBEDDINGS, Point, VectorStore
from tests.stands.qdrant_server import qdrant_server

Reopen = Callable[[], VectorStore]


@pytest.fixture(params=["edge", "server"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reopen]:
    """Opens the store anew, after closing the one that it gave before."""
    opened: list[VectorStore] = []

    def open_again(url: str | None) -> VectorStore:
        while opened:
            opened.pop().close()
        opened.append(open_vector_store(url, tmp_path / "qdrant"))
        return opened[0]

    if request.param == "edge":
        yield lambda: open_again(None)
    else:
        with qdrant_server() as server:
            yield lambda: open_again(server.url)
    for store in opened:
        store.close()


@pytest.fixture
def store(reopen: Reopen) -> VectorStore:
    """An empty store."""
    return reopen()


def towards(*coordinates: float) -> Vector:
    """A unit vector in the plane (or space) of the first axes."""
    vector = np.zeros(512, np.float32)
    vector[: len(coordinates)] = coordinates
    return vector / np.float32(np.linalg.norm(vector))


def point(point_id: PointId, *coordinates: float) -> Point:
    return Point(point_id, towards(*coordinates), {"media_store_id": point_id, "bbox": {"x": 1.5}, "name": "Zoë"})


def test_both_collections_are_there_and_empty(store: VectorStore) -> None:
    assert [store.count(collection) for collection in COLLECTIONS] == [0, 0]
    assert store.search(FACES, towards(1), limit=10) == []
    store.check()


@pytest.mark.parametrize("point_id", [0, 123, 9_007_199_254_740_999, image_point_id("image-789")])
def test_a_point_comes_back_as_it_was_stored(store: VectorStore, point_id: PointId) -> None:
    stored = point(point_id, 0.6, 0.8)
    store.upsert(FACES, [stored])
    [found] = store.retrieve(FACES, [point_id, 4_711, image_point_id("unknown")])
    assert (found.id, found.payload) == (stored.id, stored.payload)
    assert found.vector.dtype == np.float32
    np.testing.assert_allclose(found.vector, stored.vector, atol=1e-6)
    assert store.count(IMAGE_EMBEDDINGS) == 0


def test_hits_come_best_first_with_their_cosines(store: VectorStore) -> None:
    store.upsert(FACES, [point(1, 0.6, 0.8), point(2, 1), point(3, -1), point(4, 0, 1)])
    hits = store.search(FACES, towards(1), limit=10)
    assert [hit.id for hit in hits] == [2, 1, 4, 3]
    np.testing.assert_allclose([hit.score for hit in hits], [1, 0.6, 0, -1], atol=1e-6)
    assert hits[1].payload == point(1, 1).payload


def test_limit_bounds_the_hits(store: VectorStore) -> None:
    store.upsert(FACES, [point(number, 1, number) for number in range(5)])
    assert [hit.id for hit in store.search(FACES, towards(1), limit=2)] == [0, 1]


def test_the_asking_point_is_left_out_and_does_not_use_up_the_limit(store: VectorStore) -> None:
    uuid = str(image_point_id("image-789"))
    store.upsert(FACES, [point(1, 1), point(uuid, 0.8, 0.6), point(3, 0.6, 0.8)])
    assert [hit.id for hit in store.search(FACES, towards(1), limit=1, without=1)] == [uuid]
    assert [hit.id for hit in store.search(FACES, towards(1), limit=2, without=uuid)] == [1, 3]


def test_hits_below_the_threshold_are_left_out(store: VectorStore) -> None:
    store.upsert(FACES, [point(1, 1), point(2, 0.8, 0.6), point(3, 0.6, 0.8), point(4, -1)])
    assert [hit.id for hit in store.search(FACES, towards(1), limit=10, score_threshold=0.7)] == [1, 2]
    assert len(store.search(FACES, towards(1), limit=10, score_threshold=0.0)) == 3


def test_a_second_upsert_replaces_vector_and_payload(store: VectorStore) -> None:
    store.upsert(FACES, [point(1, 1)])
    store.upsert(FACES, [Point(1, towards(0, 1), {"model": "another"})])
    [found] = store.retrieve(FACES, [1])
    assert found.payload == {"model": "another"}
    assert found.vector[1] == pytest.approx(1)
    assert store.count(FACES) == 1


def test_deleted_points_are_gone_and_unknown_ids_are_no_error(store: VectorStore) -> None:
    uuid = image_point_id("image-789")
    store.upsert(FACES, [point(1, 1), point(2, 1), point(uuid, 1)])
    store.delete(FACES, [1, uuid, 999, image_point_id("unknown")])
    assert [hit.id for hit in store.search(FACES, towards(1), limit=10)] == [2]
    assert store.retrieve(FACES, [1, uuid]) == []


def test_no_points_and_no_ids_are_no_work(store: VectorStore) -> None:
    store.upsert(FACES, [])
    store.delete(FACES, [])
    assert store.retrieve(FACES, []) == []
    assert store.count(FACES) == 0


def test_more_points_than_one_request_carries_are_all_stored(store: VectorStore) -> None:
    store.upsert(FACES, [point(number, 1, number) for number in range(1001)])
    assert store.count(FACES) == 1001


def test_scrolling_shows_every_point_once_by_rising_id_with_vector_and_payload(store: VectorStore) -> None:
    numbers = [9_007_199_254_740_999, *range(20), 4_000]
    uuids = [image_point_id(f"image-{number}") for number in range(20)]
    stored = {point_id: point(point_id, 1, index) for index, point_id in enumerate([*uuids, *numbers])}
    store.upsert(FACES, list(stored.values()))
    store.delete(FACES, [7])
    pages = list(store.scroll(FACES, page=8))
    seen = [found for page in pages for found in page]
    assert [found.id for found in seen] == [*sorted(set(numbers) - {7}), *sorted(uuids, key=str)]
    assert max(len(page) for page in pages) == 8
    for found in seen:
        assert found.payload == stored[found.id].payload
        np.testing.assert_allclose(found.vector, stored[found.id].vector, atol=1e-6)
    assert list(store.scroll(IMAGE_EMBEDDINGS)) == []


def test_scrolling_goes_on_when_the_next_point_is_deleted_meanwhile(store: VectorStore) -> None:
    store.upsert(FACES, [point(number, 1, number) for number in range(6)])
    pages = store.scroll(FACES, page=2)
    assert [found.id for found in next(pages)] == [0, 1]
    store.delete(FACES, [2])
    assert [found.id for page in pages for found in page] == [3, 4, 5]


def test_a_reopened_store_gives_the_same_answers(reopen: Reopen) -> None:
    store = reopen()
    store.upsert(FACES, [point(number, 1, number) for number in range(20)])
    store.delete(FACES, [3])
    before = store.search(FACES, towards(1, 2), limit=20)
    assert reopen().search(FACES, towards(1, 2), limit=20) == before


def test_many_threads_may_use_one_store(store: VectorStore) -> None:
    def work(number: int) -> int:
        store.upsert(FACES, [point(number, 1, number)])
        return len(store.search(FACES, towards(1), limit=100))

    with ThreadPoolExecutor(8) as threads:
        assert max(threads.map(work, range(40))) <= 40
    assert store.count(FACES) == 40


def test_a_closed_edge_store_is_unavailable(tmp_path: Path) -> None:
    store = open_vector_store(None, tmp_path)
    store.close()
    store.close()
    with pytest.raises(TransientError) as caught:
        store.check()
    assert caught.value.code is ErrorCode.VECTOR_STORE_UNAVAILABLE
