"""HEAD wherever GET is."""

import httpx2
import pytest

from media_inference.api.services import Services
from media_inference.jobs.job import NewJob
from tests.stands.running_service import until
from tests.stands.served_api import served

#: What these tell grows while the test looks: an age in seconds, a request more. A digit more is a byte more.
GROWING = {"/metrics", "/admin/stats", "/health"}


def test_head_is_get_without_the_body_at_every_address(services: Services, tokens: dict[str, str]) -> None:
    job = services.queue.submit(NewJob("face_detection", "1", 5))
    paths = [
        f"/job/{job.job_id}",
        "/job/nobody",
        "/health",
        "/livez",
        "/readyz",
        "/version",
        "/metrics",
        "/admin/stats",
    ]
    headers = {"Authorization": f"Bearer {tokens['admin']}"}
    with served(services) as api, httpx2.Client(base_url=api.url, headers=headers, trust_env=False) as client:
        for path in [*paths, "/docs", "/openapi.json", "/nowhere"]:
            got, head = client.get(path), client.head(path)
            assert head.content == b""
            assert head.status_code == got.status_code
            same = {"content-type", "cache-control", "www-authenticate"}
            assert {n: v for n, v in head.headers.items() if n in same} == {
                n: v for n, v in got.headers.items() if n in same
            }
            if path in GROWING:
                assert int(head.headers["content-length"]) > 0
            else:
                assert head.headers["content-length"] == str(len(got.content))


def test_head_of_a_stream_ends_at_once(services: Services, tokens: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {tokens['permission']}"}
    with served(services) as api, httpx2.Client(base_url=api.url, headers=headers, trust_env=False) as client:
        for _ in range(3):
            answer = client.head("/events")
            assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        assert client.get("/livez").status_code == 200
        until(lambda: len(services.feed._listeners), lambda left: left == 0)


@pytest.mark.parametrize("path", ["/media", "/search/faces"])
def test_head_is_405_where_get_is(services: Services, path: str) -> None:
    with served(services) as api:
        answer = httpx2.head(api.url + path, trust_env=False)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
