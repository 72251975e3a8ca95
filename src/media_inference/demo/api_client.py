"""The calls that the demo makes, over HTTP as any client would."""

import time
from typing import Any, Self

import httpx2

from media_inference.demo.failure import DemoFailed
from media_inference.demo.photos import Photo
from media_inference.demo.result import Failure

Json = dict[str, Any]
PointId = int | str

_TRIES = 10
_LONGEST_PAUSE = 10.0


class Refused(Exception):
    """The service answered a request with an error; ``failure`` is what its problem document says."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class ApiClient:
    """Calls the service at ``url``. Raises `Refused` for errors that it answers, `DemoFailed` when it is gone."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx2.Client(base_url=url, headers=headers, timeout=60.0, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def upload(self, photo: Photo) -> str:
        """Puts a photo into the media store; returns its media_store_id."""
        with photo.path.open("rb") as file:
            answer = self._call("POST", "/media", files={"file": (photo.name, file)})
        return str(answer.json()["media_store_id"])

    def submit(self, task_type: str, media_store_id: str) -> str:
        """Asks for a job; returns its id."""
        answer = self._call("POST", f"/job/{task_type}", json={"media_store_id": media_store_id})
        return str(answer.json()["job_id"])

    def job(self, job_id: str) -> Json:
        """A job as it stands."""
        found: Json = self._call("GET", f"/job/{job_id}").json()
        return found

    def crop(self, job_id: str, index: int) -> bytes:
        """The JPEG of one face."""
        return self._call("GET", f"/job/{job_id}/faces/{index}.jpg").content

    def similar_pictures(self, media_store_id: str, limit: int) -> list[Json]:
        """The nearest pictures, best first."""
        return self._search("/search/image_embeddings", {"media_store_id": media_store_id, "limit": limit})

    def similar_faces(self, point_id: PointId, limit: int) -> list[Json]:
        """The nearest faces, best first."""
        return self._search("/search/faces", {"point_id": point_id, "limit": limit})

    def _search(self, path: str, body: Json) -> list[Json]:
        results: list[Json] = self._call("POST", path, json=body).json()["results"]
        return results

    def _call(self, method: str, path: str, **content: Any) -> httpx2.Response:
        answer = self._send(method, path, **content)
        for _ in range(_TRIES):
            if answer.status_code not in {429, 503}:
                break
            time.sleep(_pause(answer))
            answer = self._send(method, path, **content)
        if not answer.is_success:
            raise Refused(_failure(answer))
        return answer

    def _send(self, method: str, path: str, **content: Any) -> httpx2.Response:
        try:
            return self._client.request(method, path, **content)
        except httpx2.TransportError as error:
            raise DemoFailed(f"the service does not answer ({type(error).__name__})") from error


def _pause(answer: httpx2.Response) -> float:
    asked = answer.headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_PAUSE) if asked.isdecimal() else 1.0


def _failure(answer: httpx2.Response) -> Failure:
    try:
        problem = answer.json()
        return Failure(str(problem["code"]), str(problem.get("detail") or problem["title"]))
    except (ValueError, KeyError, TypeError):
        return Failure(f"http_{answer.status_code}", "the service answered with an error that it did not explain")
