"""What the API makes of hostile media ids."""

import json

from fastapi.testclient import TestClient

from media_inference.api.services import Services
from tests.stands.hostile_ids import HOSTILE_IDS, STRANGE_IDS


def test_no_hostile_id_becomes_a_job(supporter: TestClient, services: Services) -> None:
    for media_store_id in HOSTILE_IDS:
        # ASCII with escapes, because half a surrogate pair can't be sent in any other way.
        body = json.dumps({"media_store_id": media_store_id})
        answer = supporter.post("/job/image_embedding", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, ascii(media_store_id)
        assert "secret" not in answer.text
    assert not any(services.records.statistics().jobs_by_status.values())


def test_what_is_no_string_and_no_number_is_no_id(supporter: TestClient) -> None:
    for value in (True, -1, 1.5, None, [], ["7"], {"id": "7"}, 10**200):
        assert supporter.post("/job/image_embedding", json={"media_store_id": value}).status_code == 422


def test_a_strange_id_is_kept_as_it_is(supporter: TestClient) -> None:
    for media_store_id in STRANGE_IDS:
        answer = supporter.post("/job/image_embedding", json={"media_store_id": media_store_id})
        assert answer.status_code == 201
        assert answer.json()["media_store_id"] == media_store_id
