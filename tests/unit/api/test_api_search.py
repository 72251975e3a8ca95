"""Searches over HTTP, on real shards."""

from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from media_inference.api.services import Services
from media_inference.jobs.outcome import Vector
from media_inference.vectors.point_ids import image_point_id
from media_inference.vectors.store import FACES, IMAGE_EMBEDDINGS, Point

UUID = "7d444840-9dc0-11d1-b245-5ffdce74fad2"


def _towards(first: float, second: float = 0.0) -> Vector:
    vector = np.zeros(512, np.float32)
    vector[:2] = first, second
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


@pytest.fixture
def points(services: Services) -> None:
    """Three pictures and two faces; picture 2 is nearer to picture 1 than "holiday" is."""
    services.vectors.upsert(
        IMAGE_EMBEDDINGS,
        [
            Point(1, _towards(1, 0), {"media_store_id": 1, "model": "gabor-512"}),
            Point(2, _towards(1, 0.5), {"media_store_id": 2, "model": "gabor-512"}),
            Point(image_point_id("holiday"), _towards(1, 1), {"media_store_id": "holiday", "model": "gabor-512"}),
        ],
    )
    services.vectors.upsert(FACES, [Point(1000, _towards(1), {}), Point(UUID, _towards(0, 1), {"face_index": 0})])


def _search(client: TestClient, collection: str, **body: object) -> dict[str, Any]:
    answer = client.post(f"/search/{collection}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.usefixtures("points")
def test_a_picture_finds_its_neighbours_best_first_and_not_itself(supporter: TestClient) -> None:
    found = _search(supporter, "image_embeddings", media_store_id=1)
    assert list(found) == ["model", "results"]
    assert found["model"] == "gabor-512"
    assert [list(result) for result in found["results"]] == [["id", "score", "payload"]] * 2
    assert [result["id"] for result in found["results"]] == [2, image_point_id("holiday")]
    assert found["results"][0]["score"] == pytest.approx(1 / np.sqrt(1.25), abs=1e-5)
    assert found["results"][0]["payload"] == {"media_store_id": 2, "model": "gabor-512"}


@pytest.mark.usefixtures("points")
def test_media_store_id_and_point_id_ask_the_same(supporter: TestClient) -> None:
    by_name = _search(supporter, "image_embeddings", media_store_id="holiday")
    by_point = _search(supporter, "image_embeddings", point_id=str(image_point_id("holiday")).upper())
    assert by_name == by_point
    assert _search(supporter, "image_embeddings", media_store_id="1") == _search(
        supporter, "image_embeddings", point_id=1
    )


@pytest.mark.usefixtures("points")
def test_a_vector_of_any_length_is_normalised(supporter: TestClient) -> None:
    results = [
        _search(supporter, "image_embeddings", vector=[scale, *[0] * 511])["results"] for scale in (1, 1e300, 5e-324)
    ]
    assert results[0] == results[1] == results[2]
    assert results[0][0]["id"] == 1
    assert results[0][0]["score"] == pytest.approx(1)


@pytest.mark.usefixtures("points")
def test_limit_and_threshold_bound_the_results(supporter: TestClient) -> None:
    assert len(_search(supporter, "image_embeddings", point_id=1, limit=1)["results"]) == 1
    assert len(_search(supporter, "image_embeddings", point_id=1, score_threshold=0.8)["results"]) == 1
    assert len(_search(supporter, "faces", point_id=1000, score_threshold=-1)["results"]) == 1


@pytest.mark.usefixtures("points")
def test_faces_are_asked_by_integer_or_uuid(supporter: TestClient) -> None:
    assert [result["id"] for result in _search(supporter, "faces", point_id=1000)["results"]] == [UUID]
    assert [result["id"] for result in _search(supporter, "faces", point_id=UUID)["results"]] == [1000]


@pytest.mark.usefixtures("points")
@pytest.mark.parametrize("body", [{"point_id": 3}, {"media_store_id": "nobody"}, {"point_id": 2**64 - 1}])
def test_an_unknown_point_is_404(supporter: TestClient, body: dict[str, object]) -> None:
    answer = supporter.post("/search/image_embeddings", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "point_not_found")


_VECTOR = [1.0] * 512


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"point_id": None},
        {"point_id": 1, "media_store_id": "1"},
        {"point_id": 1, "vector": _VECTOR},
        {"point_id": True},
        {"point_id": -1},
        {"point_id": 2**64},
        {"point_id": 1.5},
        {"point_id": "1"},
        {"point_id": "urn:uuid:" + UUID},
        {"media_store_id": ".."},
        {"vector": []},
        {"vector": _VECTOR[1:]},
        {"vector": [*_VECTOR, 1.0]},
        {"vector": [0.0] * 512},
        {"vector": [True] * 512},
        {"vector": ["1"] * 512},
        {"vector": [10**400, *_VECTOR[1:]]},
        {"vector": [None, *_VECTOR[1:]]},
        {"point_id": 1, "limit": 0},
        {"point_id": 1, "limit": 101},
        {"point_id": 1, "limit": "10"},
        {"point_id": 1, "score_threshold": 1.1},
        {"point_id": 1, "score_threshold": -1.1},
        {"point_id": 1, "score_treshold": 0.5},
    ],
)
def test_a_wrong_question_is_422(supporter: TestClient, body: dict[str, object]) -> None:
    answer = supporter.post("/search/image_embeddings", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert len(answer.json()["detail"]) < 300


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ["vector", "score_threshold"])
def test_numbers_must_be_finite(supporter: TestClient, field: str, value: str) -> None:
    inner = f"[{value}{', 1' * 511}]" if field == "vector" else f'{value}, "point_id": 1'
    answer = supporter.post(
        "/search/faces", content=f'{{"{field}": {inner}}}', headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert f"`{field}" in answer.json()["detail"]


def test_faces_are_not_asked_by_media_store_id(supporter: TestClient) -> None:
    answer = supporter.post("/search/faces", json={"media_store_id": "1"})
    assert answer.status_code == 422
    assert "`media_store_id` is not known here" in answer.json()["detail"]


def test_an_empty_collection_finds_nothing_and_names_the_configured_model(supporter: TestClient) -> None:
    assert _search(supporter, "faces", vector=_VECTOR) == {"model": "gabor-face-512", "results": []}


def test_a_vector_store_that_is_away_is_503(supporter: TestClient, services: Services) -> None:
    services.vectors.close()
    for body in ({"point_id": 1}, {"vector": _VECTOR}):
        answer = supporter.post("/search/image_embeddings", json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "vector_store_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
