"""Uploads over HTTP, into a real folder."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import structlog
from fastapi.testclient import TestClient
from starlette.types import Message, Scope

from media_inference.api.app import create_app
from media_inference.api.services import Services
from media_inference.media.folder_inbox import FolderInbox

Serve = Callable[[Services], TestClient]


def test_uploads_are_numbered_and_kept_byte_for_byte(supporter: TestClient, tmp_path: Path) -> None:
    for number in ("1", "2"):
        content = number.encode() * 100_000
        answer = supporter.post("/media", files={"file": ("holiday.jpg", content, "image/jpeg")})
        assert (answer.status_code, answer.json()) == (201, {"media_store_id": number})
        assert (tmp_path / "media" / number).read_bytes() == content


def test_an_empty_file_is_422(supporter: TestClient) -> None:
    answer = supporter.post("/media", files={"file": ("empty.jpg", b"")})
    assert (answer.status_code, answer.json()["code"]) == (422, "upload_refused")


def test_a_form_without_a_file_is_422(supporter: TestClient) -> None:
    for form in ({"picture": ("a.jpg", b"1")}, {"file": (None, b"text")}):
        answer = supporter.post("/media", files=form)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_two_files_are_400(supporter: TestClient) -> None:
    answer = supporter.post("/media", files=[("file", ("a.jpg", b"1")), ("file", ("b.jpg", b"2"))])
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_a_broken_form_is_400(supporter: TestClient) -> None:
    for boundary in ("; boundary=x", ""):
        headers = {"Content-Type": f"multipart/form-data{boundary}"}
        answer = supporter.post("/media", content=b"--y\r\nnonsense", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_a_picture_without_a_form_is_415(supporter: TestClient) -> None:
    answer = supporter.post("/media", content=b"\xff\xd8", headers={"Content-Type": "image/jpeg"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_a_file_above_the_limit_is_413_and_leaves_nothing(
    supporter: TestClient, services: Services, tmp_path: Path
) -> None:
    for size in (services.max_upload_bytes + 1, services.max_upload_bytes + 100_000):
        answer = supporter.post("/media", files={"file": ("a.jpg", bytes(size))})
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert list((tmp_path / "media").iterdir()) == []


def test_a_stream_above_the_limit_is_413(supporter: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
        for _ in range(40):
            yield bytes(10_000)
        yield b"\r\n--x--\r\n"

    answer = supporter.post("/media", content=chunks(), headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_store_with_a_lower_limit_refuses(
    services: Services, serve: Serve, tokens: dict[str, str], tmp_path: Path
) -> None:
    client = serve(replace(services, inbox=FolderInbox(tmp_path / "media", 10)))
    headers = {"Authorization": f"Bearer {tokens['permission']}"}
    answer = client.post("/media", files={"file": ("a.jpg", bytes(11))}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "upload_refused")


def test_another_media_store_takes_no_uploads(services: Services, serve: Serve, tokens: dict[str, str]) -> None:
    client = serve(replace(services, inbox=None))
    headers = {"Authorization": f"Bearer {tokens['permission']}"}
    for body in ({"files": {"file": ("a.jpg", b"1")}}, {"content": b"no form at all"}):
        answer = client.post("/media", headers=headers, **body)
        assert (answer.status_code, answer.json()["code"]) == (409, "upload_not_supported")


def test_a_client_that_goes_away_is_no_error(services: Services, tokens: dict[str, str]) -> None:
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/media",
        "query_string": b"",
        "headers": [
            (b"authorization", f"Bearer {tokens['permission']}".encode()),
            (b"content-type", b"multipart/form-data; boundary=x"),
        ],
    }

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    with structlog.testing.capture_logs() as lines:
        asyncio.run(create_app(services)(scope, receive, send))
    assert [(line["event"], line["status"]) for line in lines] == [("request abandoned", None)]


def test_a_stranger_is_refused_before_the_form_is_read(stranger: TestClient) -> None:
    read: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(20):
            read.append(number)
            yield bytes(10_000)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = stranger.post("/media", content=chunks(), headers=headers)
    assert answer.status_code == 401
    assert len(read) < 20
