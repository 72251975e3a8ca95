"""Posting a job twice: `Idempotency-Key` and `DEDUPE`."""

from collections.abc import Callable
from dataclasses import replace

import httpx2
import pytest
from fastapi.testclient import TestClient

from media_inference.api.services import Services
from media_inference.api.tokens import OpenAccess, sign

Serve = Callable[[Services], TestClient]

BODY = {"media_store_id": "image-789", "priority": 7}


def _post(client: TestClient, key: str | bytes, body: object = BODY, task: str = "face_detection") -> httpx2.Response:
    value = key if isinstance(key, bytes) else key.encode()
    return client.post(f"/job/{task}", json=body, headers={b"Idempotency-Key": value})


def test_the_same_key_gets_the_same_answer_and_wakes_nobody_again(supporter: TestClient, wakes: list[str]) -> None:
    first, again = _post(supporter, "k-1"), _post(supporter, "k-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert wakes == ["woken"]


def test_what_is_the_same_request_is_decided_after_parsing(supporter: TestClient) -> None:
    first = _post(supporter, "k", {"media_store_id": "12"})
    again = _post(supporter, "k", {"priority": 5, "media_store_id": 12})
    assert again.json() == first.json()


@pytest.mark.parametrize(
    ("body", "task"),
    [
        ({**BODY, "priority": 8}, "face_detection"),
        ({**BODY, "media_store_id": "2"}, "face_detection"),
        (BODY, "face_embedding"),
    ],
)
def test_a_key_with_another_request_is_422_with_a_code_of_its_own(
    supporter: TestClient, body: object, task: str
) -> None:
    _post(supporter, "k")
    answer = _post(supporter, "k", body, task)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["!", "~", '"8e03978e-40d5"', "x" * 255])
def test_a_key_of_visible_ascii_is_taken(supporter: TestClient, key: str) -> None:
    assert _post(supporter, key).json() == _post(supporter, key).json()


@pytest.mark.parametrize("key", [b"", b" ", b"a b", b"x" * 256, b"caf\xc3\xa9", b"\x7f", b"a\tb"])
def test_any_other_key_is_422_and_makes_no_job(supporter: TestClient, services: Services, key: bytes) -> None:
    answer = _post(supporter, key)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "`Idempotency-Key`" in answer.json()["detail"]
    assert services.records.statistics().jobs_by_status["pending"] == 0


def test_a_refused_request_does_not_use_up_its_key(supporter: TestClient) -> None:
    assert _post(supporter, "k", {"media_store_id": "1", "priority": 99}).status_code == 422
    assert _post(supporter, "k").status_code == 201


def test_a_key_belongs_to_the_subject_of_the_token(
    services: Services, serve: Serve, supporter: TestClient, keys: tuple[bytes, bytes]
) -> None:
    other = serve(services)
    token = sign(keys[0], subject="somebody else", permissions=["ai_inference_support"], ttl_seconds=600)
    other.headers["Authorization"] = f"Bearer {token}"
    assert _post(other, "k").json()["job_id"] != _post(supporter, "k").json()["job_id"]


def test_keys_work_where_callers_are_not_told_apart(services: Services, serve: Serve) -> None:
    client = serve(replace(services, access=OpenAccess()))
    assert _post(client, "k").json() == _post(client, "k").json()


def test_a_replay_after_the_job_was_deleted_has_the_first_answer_and_makes_no_job(supporter: TestClient) -> None:
    first = _post(supporter, "k")
    supporter.delete(first.headers["Location"])
    again = _post(supporter, "k")
    assert (again.status_code, again.json()) == (201, first.json())
    assert supporter.get(again.headers["Location"]).status_code == 404


@pytest.fixture
def sharing(services: Services, serve: Serve, tokens: dict[str, str]) -> TestClient:
    """A client of a service with DEDUPE=true."""
    client = serve(replace(services, dedupe=True))
    client.headers["Authorization"] = f"Bearer {tokens['permission']}"
    return client


def test_with_dedupe_a_live_job_is_answered_with_200(sharing: TestClient, services: Services, wakes: list[str]) -> None:
    first = sharing.post("/job/face_detection", json=BODY)
    services.queue.claim("w")
    again = sharing.post("/job/face_detection", json={**BODY, "priority": 9})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == {**first.json(), "status": "processing", "priority": 9}
    assert again.headers["Location"] == first.headers["Location"]
    assert wakes == ["woken"]


def test_with_dedupe_a_key_still_asks_for_a_job_of_its_own(sharing: TestClient) -> None:
    first = sharing.post("/job/face_detection", json=BODY)
    keyed = _post(sharing, "k")
    assert keyed.status_code == 201
    assert keyed.json()["job_id"] != first.json()["job_id"]
    assert _post(sharing, "k").json() == keyed.json()


def test_without_dedupe_every_request_makes_a_job(supporter: TestClient) -> None:
    answers = [supporter.post("/job/face_detection", json=BODY) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert len({answer.json()["job_id"] for answer in answers}) == 2
