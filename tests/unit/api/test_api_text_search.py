"""Searches by text over HTTP: what is asked, and what is answered when a text has no vector."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import pytest
import structlog
from fastapi.testclient import TestClient

from media_inference.api.services import Services
from media_inference.errors import (
    ErrorCode,
    NoTextTower,
    PermanentError,
    TextEmbedderAway,
    TextEmbedderBusy,
    TextNotEmbedded,
    TextTowerUnusable,
)
from media_inference.jobs.outcome import Vector
from media_inference.vectors.store import IMAGE_EMBEDDINGS, Point

Ask = Callable[..., Any]


@pytest.fixture
def asked() -> list[str]:
    """The texts that were embedded."""
    return []


@pytest.fixture
def client(services: Services, serve: Callable[[Services], TestClient], asked: list[str], supporter: TestClient) -> Any:
    """A service whose tower turns a text into the axis of its length."""

    def embed_text(text: str) -> Vector:
        asked.append(text)
        return np.asarray(np.eye(512, dtype=np.float32)[len(text)])

    for number in (3, 5):
        point = Point(number, np.eye(512, dtype=np.float32)[number], {"media_store_id": number})
        services.vectors.upsert(IMAGE_EMBEDDINGS, [point])
    client = serve(replace(services, embed_text=embed_text))
    client.headers.update(supporter.headers)
    return client


def test_a_text_finds_the_pictures_of_what_it_says(client: TestClient, asked: list[str]) -> None:
    answer = client.post("/search/image_embeddings", json={"text": "a cat", "score_threshold": 0.5})

    assert answer.status_code == 200
    assert [(hit["id"], hit["score"]) for hit in answer.json()["results"]] == [(5, pytest.approx(1))]
    assert answer.json()["model"] == "gabor-512"
    assert asked == ["a cat"]


def test_limit_and_threshold_hold_for_texts_too(client: TestClient) -> None:
    def found(**bounds: object) -> int:
        answer = client.post("/search/image_embeddings", json={"text": "cat", **bounds})
        return len(answer.json()["results"])

    assert [found(), found(limit=1), found(score_threshold=0.5)] == [2, 1, 1]


@pytest.mark.parametrize("text", ["😀", "東", "a" * 500, "<|endoftext|>", "nul \0 inside", "' OR 1=1 --"])
def test_a_text_reaches_the_tower_as_it_is(client: TestClient, asked: list[str], text: str) -> None:
    assert client.post("/search/image_embeddings", json={"text": text}).status_code == 200
    assert asked == [text]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"text": ""}, "`text` should have at least 1 character"),
        ({"text": " \n\t"}, "`text` should have words in it"),
        ({"text": "a" * 1001}, "`text` should have at most 1000 characters"),
        ({"text": 5}, "`text` should be a valid string"),
        ({"text": ["a cat"]}, "`text` should be a valid string"),
        ({"text": "a cat", "point_id": 5}, "exactly one of point_id, media_store_id, vector, text"),
        ({"text": "a cat", "media_store_id": "5"}, "exactly one of point_id, media_store_id, vector, text"),
        ({"text": "a cat", "vector": [1.0] * 512}, "exactly one of point_id, media_store_id, vector, text"),
    ],
)
def test_a_wrong_text_is_422_and_never_reaches_the_tower(
    client: TestClient, asked: list[str], body: dict[str, object], told: str
) -> None:
    answer = client.post("/search/image_embeddings", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert told in answer.json()["detail"]
    assert asked == []


def test_half_a_character_is_422(client: TestClient) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/search/image_embeddings", content=b'{"text": "a \\ud83d cat"}', headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_faces_are_not_asked_by_text(client: TestClient) -> None:
    answer = client.post("/search/faces", json={"text": "a cat"})

    assert answer.status_code == 422
    assert "`text` is not known here" in answer.json()["detail"]


def test_a_text_needs_the_permission_to_search(client: TestClient, asked: list[str]) -> None:
    del client.headers["Authorization"]

    assert client.post("/search/image_embeddings", json={"text": "a cat"}).status_code == 401
    assert asked == []


@pytest.mark.parametrize(
    ("error", "answered", "retry_after"),
    [
        (NoTextTower("The image model has no text tower."), (409, "text_not_supported"), None),
        (TextTowerUnusable("It is not on disk; pull it."), (409, "text_tower_unusable"), None),
        (TextEmbedderBusy("Too many searches by text at once."), (503, "too_busy"), "1"),
        (TextEmbedderAway("Texts can't be turned into vectors now."), (503, "text_tower_unavailable"), "5"),
    ],
)
def test_a_text_without_a_vector_is_answered_with_the_reason(
    services: Services,
    supporter: TestClient,
    error: TextNotEmbedded,
    answered: tuple[int, str],
    retry_after: str | None,
) -> None:
    answer = _answer(services, supporter, error)

    assert (answer.status_code, answer.json()["code"]) == answered
    assert answer.json()["detail"] == str(error)
    assert answer.headers.get("Retry-After") == retry_after


def test_a_tower_that_gives_nothing_usable_is_500(services: Services, supporter: TestClient) -> None:
    with structlog.testing.capture_logs():
        answer = _answer(services, supporter, PermanentError(ErrorCode.INTERNAL, "no usable vector"))

    assert (answer.status_code, answer.json()["code"]) == (500, "internal")


def test_the_document_tells_of_texts_and_of_every_answer(supporter: TestClient) -> None:
    document = supporter.get("/openapi.json").json()
    image, face = (document["components"]["schemas"][f"{kind}Search"]["properties"] for kind in ("Image", "Face"))
    (shape, _) = image["text"]["anyOf"]
    assert (shape["minLength"], shape["maxLength"]) == (1, 1000)
    assert "text" not in face
    answers = document["paths"]["/search/image_embeddings"]["post"]["responses"]
    assert {"text_not_supported", "text_tower_unusable"} <= set(answers["409"]["description"].split("`"))
    assert {"too_busy", "text_tower_unavailable"} <= set(answers["503"]["description"].split("`"))
    assert "409" not in document["paths"]["/search/faces"]["post"]["responses"]


def _answer(services: Services, supporter: TestClient, error: Exception) -> Any:
    def embed_text(_text: str) -> NoReturn:
        raise error

    application: Any = supporter.app
    application.state.services = replace(services, embed_text=embed_text)
    return supporter.post("/search/image_embeddings", json={"text": "a cat"})
