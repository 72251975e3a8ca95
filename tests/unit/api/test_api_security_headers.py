"""What browsers are told, with every answer there is."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import structlog
from fastapi.testclient import TestClient
from httpx2 import Client, Response

from media_inference.api.lines import Capacity, Places
from media_inference.api.security_headers import SECURITY_HEADERS
from media_inference.api.services import Services
from media_inference.jobs.job import NewJob
from tests.stands.served_api import served

Serve = Callable[[Services], TestClient]
Complete = Callable[..., None]

UNKNOWN = "/job/00000000-0000-4000-8000-000000000000"
JSON = {"Content-Type": "application/json"}


def _check(answer: Response, **others: str) -> None:
    expected = SECURITY_HEADERS | {name.replace("_", "-"): value for name, value in others.items()}
    assert {name: answer.headers.get_list(name) for name in expected} == {
        name: [value] for name, value in expected.items()
    }
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    assert "server" not in answer.headers
    assert "x-powered-by" not in answer.headers


def test_every_answer_has_the_security_headers(supporter: TestClient, services: Services, serve: Serve) -> None:
    created = supporter.post("/job/face_detection", json={"media_store_id": "1"})
    location = created.headers["Location"]
    answers = {
        201: created,
        200: supporter.get(location),
        204: supporter.delete(location),
        401: serve(services).get("/admin/stats"),
        403: supporter.get("/admin/stats"),
        404: supporter.get("/nothing"),
        405: supporter.put(UNKNOWN),
        413: supporter.post("/job/face_detection", content=b"x" * 100_000, headers=JSON),
        415: supporter.post("/job/face_detection", content=b"x", headers={"Content-Type": "text/plain"}),
        422: supporter.post("/job/face_detection", content=b"{", headers=JSON),
        503: serve(replace(services, capacity=Capacity(reads=Places(0, 0), pause=0))).get(UNKNOWN),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        _check(answer)


def test_an_answer_to_what_nobody_foresaw_has_them_too(services: Services, serve: Serve) -> None:
    class Broken:
        def identify(self, token: str | None) -> None:
            raise RuntimeError(f"nobody foresaw {token}")

    with structlog.testing.capture_logs():  # the formatter that structlog brings draws every variable, for seconds
        answer = serve(replace(services, access=Broken())).get("/admin/stats")
    assert answer.status_code == 500
    _check(answer)


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz", "/version", "/metrics", "/openapi.json"])
def test_open_pages_have_them(stranger: TestClient, path: str) -> None:
    _check(stranger.get(path))


def test_the_page_about_the_api_keeps_its_own_policy(stranger: TestClient) -> None:
    answer = stranger.get("/docs")
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'sha256-" in policy
    _check(answer, Content_Security_Policy=policy)


def test_a_crop_is_for_this_origin_and_for_one_browser(
    supporter: TestClient, services: Services, complete: Complete
) -> None:
    job_id = services.queue.submit(NewJob("face_detection", "1")).job_id
    complete({"faces": []}, {"faces/0.jpg": b"a crop"})
    answer = supporter.get(f"/job/{job_id}/faces/0.jpg")
    assert answer.status_code == 200
    _check(answer, Cache_Control="private, max-age=3600, immutable")


def test_other_origins_are_given_nothing(supporter: TestClient) -> None:
    origin = {"Origin": "https://evil.example"}
    for answer in (supporter.get("/version", headers=origin), supporter.get("/admin/stats", headers=origin)):
        _check(answer)
    asking = origin | {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization"}
    preflight = supporter.options(UNKNOWN, headers=asking)
    assert preflight.status_code == 405
    _check(preflight)


def test_the_server_does_not_say_what_it_is(services: Services) -> None:
    with served(services) as api, Client(trust_env=False) as client:
        for path in ("/version", "/nothing"):
            answer = client.get(api.url + path)
            _check(answer)
            assert not re.search("uvicorn|python|fastapi|starlette", repr(answer.headers.raw), re.IGNORECASE)
