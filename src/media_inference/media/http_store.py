"""A media_store service: ``GET {url}/media/{id}`` answers with the picture's bytes.

=================== ==========================================================
answer              means
=================== ==========================================================
200                 the bytes
404, 410            `media_not_found`, permanent
401, 403            `media_forbidden`, permanent, with a loud log line
anything else       `media_unavailable`, transient, `Retry-After` honoured
=================== ==========================================================

"Anything else" takes in redirects, which are not followed because the token is meant for one origin, and the other
4xx: they come from a wrong address or a proxy in between more often than from the id, and a job must outlive both.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

import httpx2
import structlog

from media_inference.errors import CannotStart, ErrorCode, PermanentError, TransientError
from media_inference.jobs.job import MEDIA_STORE_ID
from media_inference.media.retry_after import seconds_to_wait
from media_inference.media.store_kind import StoreKind, StoreOptions

ABSENT = {404, 410}
FORBIDDEN = {401, 403}


class HttpStore:
    """Fetches over pooled connections; ``options`` bound bytes, time and connections. Safe for several threads."""

    def __init__(self, options: StoreOptions) -> None:
        self._url = options.url.rstrip("/")
        self._max_bytes = options.max_bytes
        self._total_timeout = options.total_timeout
        self._client = _client(options)

    def fetch(self, media_store_id: str) -> bytes:
        """See `MediaStore.fetch`."""
        if not MEDIA_STORE_ID.fullmatch(media_store_id):
            raise PermanentError(ErrorCode.MEDIA_NOT_FOUND, "the media store has no such item")
        deadline = time.monotonic() + self._total_timeout
        with self._answer(f"{self._url}/media/{quote(media_store_id, safe='')}") as response:
            _judge(response, media_store_id)
            return self._body(response, deadline)

    def check(self) -> None:
        """See `MediaStore.check`: any answer below 500 to ``GET {url}/`` shows that somebody is there."""
        with self._answer(f"{self._url}/") as response:
            if response.status_code >= 500:
                raise _unavailable(response)

    def close(self) -> None:
        """See `MediaStore.close`."""
        self._client.close()

    @contextmanager
    def _answer(self, url: str) -> Iterator[httpx2.Response]:
        """The one place where the errors of the HTTP library become ours, also while the body is read."""
        try:
            with self._client.stream("GET", url) as response:
                yield response
        except httpx2.HTTPError as error:
            structlog.get_logger().warning(
                "media store can't be reached", action="media_unavailable", reason=type(error).__name__
            )
            raise TransientError(ErrorCode.MEDIA_UNAVAILABLE, "the media store can't be reached") from error

    def _body(self, response: httpx2.Response, deadline: float) -> bytes:
        announced = response.headers.get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > self._max_bytes:
            raise _too_large()
        body = bytearray()
        for chunk in response.iter_raw():  # not iter_bytes: nobody asked for a compressed answer, so none is unpacked
            body += chunk
            if len(body) > self._max_bytes:
                raise _too_large()
            if time.monotonic() > deadline:
                raise TransientError(ErrorCode.MEDIA_UNAVAILABLE, "the media store takes too long")
        return bytes(body)


def _client(options: StoreOptions) -> httpx2.Client:
    headers = {"Accept-Encoding": "identity", "User-Agent": "media-inference"}
    if options.token:
        headers["Authorization"] = f"Bearer {options.token}"
    return httpx2.Client(
        headers=headers,
        trust_env=False,  # a proxy named in the environment must not see the token
        follow_redirects=False,
        timeout=httpx2.Timeout(options.read_timeout, connect=options.connect_timeout),
        limits=httpx2.Limits(max_connections=options.max_connections, max_keepalive_connections=4),
    )


def _judge(response: httpx2.Response, media_store_id: str) -> None:
    status = response.status_code
    if status in ABSENT:
        raise PermanentError(ErrorCode.MEDIA_NOT_FOUND, "the media store has no such item")
    if status in FORBIDDEN:
        structlog.get_logger().error(
            "media store refuses this service: check MEDIA_STORE_TOKEN",
            action="media_forbidden",
            media_store_id=media_store_id,
            status=status,
        )
        raise PermanentError(ErrorCode.MEDIA_FORBIDDEN, "the media store refuses to give this item to the service")
    if status != 200 or response.headers.get("content-encoding", "identity") != "identity":
        raise _unavailable(response)


def _unavailable(response: httpx2.Response) -> TransientError:
    structlog.get_logger().warning(
        "media store gives no picture",
        action="media_unavailable",
        status=response.status_code,
        content_encoding=response.headers.get("content-encoding"),
    )
    redirect = " with a redirect, which is not followed" if response.is_redirect else ""
    return TransientError(
        ErrorCode.MEDIA_UNAVAILABLE,
        f"the media store answered {response.status_code}{redirect}",
        retry_after=seconds_to_wait(response.headers.get("retry-after")),
    )


def _too_large() -> PermanentError:
    return PermanentError(ErrorCode.IMAGE_TOO_LARGE, "the file has too many bytes")


def _open(options: StoreOptions) -> HttpStore:
    if not urlsplit(options.url).hostname:
        raise CannotStart(f"a media store is given as http://host[:port][/path], not as {options.url!r}")
    return HttpStore(options)


HTTP = StoreKind("http", _open)
HTTPS = StoreKind("https", _open)
