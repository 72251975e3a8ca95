"""`POST /jobs`: each of many jobs is answered for itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from media_inference.api.services import Services
from media_inference.errors import ErrorCode, TransientError
from media_inference.queue.job_queue import JobQueue

Serve = Callable[[Services], TestClient]


def item(media: object, **more: object) -> dict[str, object]:
    return {"task_type": "face_detection", "media_store_id": media, **more}


def post(client: TestClient, *items: object) -> list[dict[str, Any]]:
    answer = client.post("/jobs", json={"jobs": list(items)})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def authorised(client: TestClient, tokens: dict[str, str]) -> TestClient:
    client.headers["Authorization"] = f"Bearer {tokens['permission']}"
    return client


def test_a_thousand_jobs_are_made_by_one_commit_in_their_order(
    supporter: TestClient, services: Services, engine: sa.Engine, wakes: list[str]
) -> None:
    commits = list[object]()
    sa.event.listen(engine, "commit", commits.append)
    results = post(supporter, *(item(number, priority=number % 11) for number in range(1000)))
    assert {result["status"] for result in results} == {201}
    assert [result["job"]["media_store_id"] for result in results] == [str(number) for number in range(1000)]
    assert [result["job"]["priority"] for result in results] == [number % 11 for number in range(1000)]
    assert len(commits) == 1
    assert services.records.statistics().jobs_by_status["pending"] == 1000
    assert wakes
    view = supporter.get(f"/job/{results[7]['job']['job_id']}").json()
    assert view == {**results[7]["job"], "attempts": 0}


def test_what_is_wrong_with_one_is_said_in_its_place_and_concerns_no_other(supporter: TestClient) -> None:
    wrong: list[tuple[object, str]] = [
        (item("../x"), "`media_store_id`"),
        (item("1", priority=11), "`priority`"),
        (item("1", priority="5"), "`priority`"),
        (item("1", colour="red"), "`colour`"),
        ({"media_store_id": "1"}, "`task_type`"),
        (item("1", idempotency_key="a b"), "`idempotency_key`"),
        (None, "The body"),
        ([], "The body"),
    ]
    results = post(supporter, item("1"), *(each for each, _ in wrong), item("1", task_type="cat_detection"), item("2"))
    assert [result["status"] for result in results] == [201, *[422] * 9, 201]
    for result, (_, named) in zip(results[1:-2], wrong, strict=True):
        assert result["problem"]["code"] == "invalid_request"
        assert named in result["problem"]["detail"]
    assert results[-2]["problem"]["code"] == "unknown_task_type"
    assert "face_embedding" in results[-2]["problem"]["detail"]


def test_keys_are_those_of_the_header(supporter: TestClient) -> None:
    single = supporter.post("/job/face_detection", json={"media_store_id": "1"}, headers={"Idempotency-Key": "k"})
    replayed, other, new, again = post(
        supporter,
        item("1", idempotency_key="k"),
        item("2", idempotency_key="k"),
        item("2", idempotency_key="l"),
        item("2", idempotency_key="l"),
    )
    assert (replayed["status"], replayed["replayed"], replayed["job"]) == (201, True, single.json())
    assert (other["status"], other["problem"]["code"]) == (422, "idempotency_key_reused")
    assert "replayed" not in new
    assert again == {**new, "replayed": True}


def test_past_the_limit_the_rest_is_refused(
    services: Services, serve: Serve, engine: sa.Engine, tokens: dict[str, str]
) -> None:
    client = authorised(serve(replace(services, queue=JobQueue(engine, limit=2))), tokens)
    assert [result["status"] for result in post(client, *map(item, "1234"))] == [201, 201, 429, 429]
    alone = client.post("/job/face_detection", json={"media_store_id": "5"})
    assert (alone.status_code, alone.json()["code"]) == (429, "queue_full")
    assert int(alone.headers["Retry-After"]) > 0
    assert services.queue.claim("w") is not None
    assert client.post("/job/face_detection", json={"media_store_id": "5"}).status_code == 201


def test_with_dedupe_what_is_under_way_is_answered_with_that_job(
    services: Services, serve: Serve, tokens: dict[str, str]
) -> None:
    client = authorised(serve(replace(services, dedupe=True)), tokens)
    first, second, other = post(client, item("1"), item("1"), item("2"))
    assert (first["status"], second["status"], other["status"]) == (201, 200, 201)
    assert second["job"] == first["job"]


@pytest.mark.parametrize("jobs", [[], [item("1")] * 1001, "1", None])
def test_none_or_more_than_a_thousand_are_one_problem(supporter: TestClient, services: Services, jobs: object) -> None:
    answer = supporter.post("/jobs", json={"jobs": jobs})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert services.records.statistics().jobs_by_status["pending"] == 0


def test_without_room_none_is_taken(services: Services, serve: Serve, tokens: dict[str, str]) -> None:
    def full() -> None:
        raise TransientError(ErrorCode.STORAGE_FULL, "full")

    client = authorised(serve(replace(services, require_room=full)), tokens)
    answer = client.post("/jobs", json={"jobs": [item("1")]})
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_full")
    assert services.records.statistics().jobs_by_status["pending"] == 0
