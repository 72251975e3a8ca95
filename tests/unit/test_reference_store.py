"""The reference media_store server that users start and read: examples/media_store."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from examples.media_store.server import create_app
from tests.stands.reference_store import SERVER, ReferenceStore

PHOTO = b"a photo"
ETAG = f'"{hashlib.sha256(PHOTO).hexdigest()}"'
CROPS = {"face_0": b"\xff\xd8first", "face_1": b"\xff\xd8second"}
FINDING = {"job_id": "job-1", "task_type": "face_detection", "model": "yunet-2023mar", "result": {"face_count": 2}}
MAX_BYTES = 2000


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(tmp_path, max_bytes=MAX_BYTES)) as opened:
        assert opened.put("/media/7", content=PHOTO).status_code == 204
        yield opened


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReferenceStore]:
    with ReferenceStore(tmp_path) as started:
        started.put("7", PHOTO)
        yield started


def _upload(
    client: TestClient | httpx2.Client,
    finding: dict[str, Any] = FINDING,
    crops: dict[str, bytes] = CROPS,
    *,
    media_id: str = "7",
    key: str | None = None,
) -> Any:
    files = {name: (f"{name}.jpg", jpeg, "image/jpeg") for name, jpeg in crops.items()}
    headers = {"Idempotency-Key": finding.get("job_id", "job-1") if key is None else key}
    form = {"result": json.dumps(finding)}
    return client.post(f"/media/{media_id}/results", data=form, files=files, headers=headers)


def test_a_photo_comes_back_with_a_strong_etag_and_its_length(client: TestClient) -> None:
    answer = client.get("/media/7")
    assert answer.status_code == 200
    assert answer.content == PHOTO
    assert answer.headers["ETag"] == ETAG
    assert answer.headers["Content-Length"] == str(len(PHOTO))


@pytest.mark.parametrize("known", [ETAG, f"W/{ETAG}", f'"other", {ETAG}', "*"])
def test_who_has_the_photo_is_told_so(client: TestClient, known: str) -> None:
    answer = client.get("/media/7", headers={"If-None-Match": known})
    assert answer.status_code == 304
    assert answer.content == b""
    assert answer.headers["ETag"] == ETAG
    assert client.get("/stats").json()["not_modified"] == {"7": 1}


def test_a_replaced_photo_has_another_etag(client: TestClient) -> None:
    client.put("/media/7", content=b"another photo")
    answer = client.get("/media/7", headers={"If-None-Match": ETAG})
    assert answer.content == b"another photo"
    assert client.get("/stats").json()["fetched"] == {"7": 1}


def test_an_unknown_photo_is_404_and_takes_no_results(client: TestClient) -> None:
    assert client.get("/media/8").status_code == 404
    assert _upload(client, media_id="8").status_code == 404
    assert client.get("/stats").json()["fetched"] == {}


@pytest.mark.parametrize(
    "media_id", ["%2e%2e", ".hidden", "..%2Fresults.db", "a%2Fb", "x" * 129, "a%00b", "a%0a", "%C3%A4"]
)
def test_what_is_no_id_is_refused_and_no_file_is_made(client: TestClient, tmp_path: Path, media_id: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    answers = [client.get(f"/media/{media_id}"), client.put(f"/media/{media_id}", content=b"x")]
    answers.append(_upload(client, media_id=media_id))
    assert {answer.status_code for answer in answers} <= {404, 405, 422}
    assert sorted(tmp_path.rglob("*")) == before


def test_an_upload_is_there_with_its_crops(client: TestClient) -> None:
    assert _upload(client).status_code == 201
    (found,) = client.get("/media/7/results").json()
    links = found.pop("crops")
    assert found == FINDING
    assert [client.get(link).content for link in links] == list(CROPS.values())


def test_the_same_upload_again_is_200_and_stored_once(client: TestClient) -> None:
    statuses = [_upload(client).status_code for _ in range(3)]
    assert statuses == [201, 200, 200]
    assert len(client.get("/media/7/results").json()) == 1
    stats = client.get("/stats").json()
    assert stats["uploads"] == {"job-1": 1}
    assert stats["upload_requests"] == {"job-1": 3}


def test_the_order_of_parts_and_keys_makes_no_other_upload(client: TestClient) -> None:
    assert _upload(client).status_code == 201
    turned = dict(reversed(FINDING.items()))
    assert _upload(client, turned, dict(reversed(CROPS.items()))).status_code == 200


@pytest.mark.parametrize(
    ("finding", "crops", "media_id"),
    [
        (FINDING | {"result": {"face_count": 3}}, CROPS, "7"),
        (FINDING, {"face_0": CROPS["face_0"]}, "7"),
        (FINDING, CROPS | {"face_1": b"\xff\xd8other"}, "7"),
        (FINDING, CROPS, "9"),
    ],
    ids=["another result", "fewer crops", "another crop", "another photo"],
)
def test_a_used_key_with_another_body_is_409_and_changes_nothing(
    client: TestClient, finding: dict[str, Any], crops: dict[str, bytes], media_id: str
) -> None:
    client.put("/media/9", content=PHOTO)
    _upload(client)
    before = client.get("/media/7/results").json()
    assert _upload(client, finding, crops, media_id=media_id).status_code == 409
    assert client.get("/media/7/results").json() == before
    assert client.get("/media/9/results").json() == []
    assert client.get("/stats").json()["uploads"] == {"job-1": 1}


@pytest.mark.parametrize(
    ("finding", "crops", "key"),
    [
        ({"job_id": "job-1"}, CROPS, None),
        (FINDING, CROPS, "job-2"),
        (FINDING, CROPS, "../job"),
        (FINDING, CROPS, ""),
        (FINDING, {"face_0": b"<html>"}, None),
    ],
    ids=["half a result", "another key", "no id as key", "empty key", "a crop that is no JPEG"],
)
def test_an_upload_that_is_not_as_the_protocol_says_is_422(
    client: TestClient, finding: dict[str, Any], crops: dict[str, bytes], key: str | None
) -> None:
    assert _upload(client, finding, crops, key=key).status_code == 422
    assert client.get("/stats").json()["uploads"] == {}


def test_an_upload_that_is_no_form_is_415(client: TestClient) -> None:
    answer = client.post("/media/7/results", json=FINDING, headers={"Idempotency-Key": "job-1"})
    assert answer.status_code == 415


def test_parts_that_nobody_knows_are_left_alone(client: TestClient) -> None:
    assert _upload(client, FINDING, CROPS | {"thumbnail": b"new in some later version"}).status_code == 201
    assert len(client.get("/media/7/results").json()[0]["crops"]) == 2


def test_a_photo_with_a_thousand_faces_fits_also_when_the_result_is_sent_as_a_file(
    client: TestClient, tmp_path: Path
) -> None:
    files = {f"face_{index}": (f"{index}.jpg", b"\xff\xd8") for index in range(1000)}
    files["result"] = ("result.json", json.dumps(FINDING).encode())
    with TestClient(create_app(tmp_path)) as roomy:
        answer = roomy.post("/media/7/results", files=files, headers={"Idempotency-Key": "job-1"})
    assert answer.status_code == 201
    links = client.get("/media/7/results").json()[0]["crops"]
    assert links == [f"/media/7/results/job-1/face_{index}" for index in range(1000)]


def test_a_body_above_the_limit_is_413_whether_its_length_is_told_or_not(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        yield from [bytes(500)] * 5

    assert client.put("/media/7", content=bytes(MAX_BYTES + 1)).status_code == 413
    assert client.put("/media/7", content=chunks()).status_code == 413
    assert _upload(client, FINDING, {"face_0": b"\xff\xd8" + bytes(MAX_BYTES)}).status_code == 413
    assert client.get("/media/7").content == PHOTO


@pytest.mark.parametrize("sent", [None, "Bearer wrong", "Bearer", "Basic open-sesame", "Bearer open-sesame2"])
def test_without_the_token_everything_but_health_is_401(tmp_path: Path, sent: str | None) -> None:
    headers = {} if sent is None else {"Authorization": sent}
    with TestClient(create_app(tmp_path, token="open-sesame"), headers=headers) as client:
        answers = [
            client.get(path) for path in ("/media/7", "/media/7/results", "/stats", "/media/7/results/job-1/face_0")
        ]
        answers += [client.put("/media/7", content=PHOTO), _upload(client)]
        assert {answer.status_code for answer in answers} == {401}
        assert {answer.headers["WWW-Authenticate"] for answer in answers} == {"Bearer"}
        assert client.get("/stats", headers={b"Authorization": b"Bearer op\xe9n"}).status_code == 401
        assert client.get("/").json() == {"status": "healthy"}
    assert not list((tmp_path / "photos").iterdir())


def test_results_and_counts_survive_a_kill(server: ReferenceStore) -> None:
    server.client.get("/media/7")
    assert _upload(server.client).status_code == 201
    stats, results = server.stats(), server.results("7")
    server.kill()
    server.start()
    assert server.stats() == stats
    assert server.results("7") == results
    assert _upload(server.client).status_code == 200
    assert server.stats()["uploads"] == {"job-1": 1}
    assert server.client.get(results[0]["crops"][1]).content == CROPS["face_1"]


def test_uploads_that_a_kill_cuts_off_are_stored_once_when_they_are_sent_again(server: ReferenceStore) -> None:
    some_stored = threading.Event()

    def send(finding: dict[str, Any]) -> bool:
        try:
            stored = bool(_upload(server.client, finding).is_success)
        except httpx2.TransportError:
            return False
        some_stored.set()
        return stored

    def send_until_cut_off(sender: int) -> list[dict[str, Any]]:
        """One after the other; only the last one has no answer."""
        sent = [FINDING | {"job_id": f"job-{sender}-0"}]
        while send(sent[-1]):
            sent.append(FINDING | {"job_id": f"job-{sender}-{len(sent)}"})
        return sent

    with ThreadPoolExecutor(4) as threads:
        senders = [threads.submit(send_until_cut_off, sender) for sender in range(4)]
        assert some_stored.wait(30)
        server.kill()
        sent = [each.result() for each in senders]
    jobs = [finding for of_one in sent for finding in of_one]
    server.start()
    acknowledged = {finding["job_id"] for of_one in sent for finding in of_one[:-1]}
    assert acknowledged <= {found["job_id"] for found in server.results("7")}
    assert all(send(finding) for finding in jobs)
    assert server.stats()["uploads"] == {finding["job_id"]: 1 for finding in jobs}
    assert sorted(found["job_id"] for found in server.results("7")) == sorted(str(each["job_id"]) for each in jobs)


def test_of_many_uploads_with_one_key_at_once_one_is_stored(server: ReferenceStore) -> None:
    start = threading.Barrier(8)

    def send(_: int) -> int:
        start.wait(30)
        return int(_upload(server.client).status_code)

    with ThreadPoolExecutor(8) as threads:
        statuses = sorted(threads.map(send, range(8)))
    assert statuses == [200] * 7 + [201]
    stats = server.stats()
    assert stats["uploads"] == {"job-1": 1}
    assert stats["upload_requests"] == {"job-1": 8}
    assert len(server.results("7")) == 1


def test_a_killed_server_refuses_connections_until_it_is_started_again(server: ReferenceStore) -> None:
    server.kill()
    with pytest.raises(httpx2.ConnectError):
        server.client.get("/")
    server.start()
    assert server.client.get("/media/7").content == PHOTO


def test_the_server_explains_itself() -> None:
    shown = subprocess.run([sys.executable, str(SERVER), "--help"], capture_output=True, text=True, check=True)
    assert "--token" in shown.stdout
