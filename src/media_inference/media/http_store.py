"""A media_store service: ``GET {url}/media/{id}`` answers with the picture's bytes, and
``POST {url}/media/{id}/results`` takes what was found out about it.

========================== ================================ ==========================================
answer                     to a GET                         to a POST
========================== ================================ ==========================================
200                        the bytes                        done, as any 2xx
404, 410                   `media_not_found`, permanent     the same
401, 403                   `media_forbidden`, permanent     the same
400, 405, 409, 413-415, 422 transient                       `upload_rejected`, permanent
no connection              the store is away                the same
429                        the store is away                the same
anything else              transient                        the same
========================== ================================ ==========================================

A permanent refusal of the token is a loud log line. ``Retry-After`` is honoured. "Anything else" takes in redirects,
which are not followed because the token is meant for one origin, and the other 4xx: they come from a wrong address or
a proxy in between more often than from the id, and a job must outlive both. After a transient failure ``GET {url}/``
is asked once: a store that doesn't answer even to that, or with 429, 502, 503 or 504, is away.
"""

from urllib.parse import quote, urlsplit

import httpx2
import structlog

from media_inference.errors import (
    CannotStart,
    Dependency,
    DependencyAway,
    ErrorCode,
    JobError,
    PermanentError,
    TransientError,
)
from media_inference.jobs.job import MEDIA_STORE_ID
from media_inference.jobs.retry_after import seconds_to_wait
from media_inference.media.http_origin import (
    Answer,
    BodyTooLong,
    HttpOrigin,
    NoAnswer,
    Request,
    Unreachable,
    Wanted,
    nothing,
)
from media_inference.media.media_cache import Cached, MediaCache, Place
from media_inference.media.store import ResultUpload
from media_inference.media.store_kind import StoreKind, StoreOptions
from media_inference.media.upload import Multipart

ABSENT = {404, 410}
FORBIDDEN = {401, 403}
REJECTED = {400, 405, 409, 413, 414, 415, 422}
BUSY = 429
AWAY = {BUSY, 502, 503, 504}
CHECK_SECONDS = 5.0


class HttpStore:
    """A `MediaStore` and a `ResultSink`; ``options`` bound bytes, time and connections. Safe for several threads."""

    def __init__(self, options: StoreOptions) -> None:
        self._url = options.url.rstrip("/")
        self._max_bytes = options.max_bytes
        self._seconds = options.total_timeout
        self._origin = HttpOrigin(options)
        self._cache = None if options.cache_dir is None else MediaCache(options.cache_dir, options.cache_bytes)
        self._refused = False  # a wrong token is said once, not once per item

    def fetch(self, media_store_id: str) -> bytes:
        """See `MediaStore.fetch`. With a cache it waits first for whoever fetches the same item, at most as long."""
        path = _path(media_store_id)
        if self._cache is None:
            return self._download(path, None).body
        with self._cache.place(self._url + path, self._seconds) as place:
            return self._revalidate(path, place)

    def upload(self, media_store_id: str, upload: ResultUpload) -> None:
        """See `ResultSink.upload`."""
        body = Multipart(upload)
        headers = {**body.headers, "Idempotency-Key": upload.job_id}
        answer = self._ask(Request("POST", f"{_path(media_store_id)}/results", headers, body))
        if 200 <= answer.status < 300:
            self._refused = False
            return
        if answer.status in REJECTED:
            raise PermanentError(ErrorCode.UPLOAD_REJECTED, f"the media store refused the result ({answer.status})")
        raise self._judge(answer)

    def check(self) -> None:
        """See `MediaStore.check`: any answer to ``GET {url}/`` but an `AWAY` one shows that somebody is there."""
        status = self._status_of_root()
        if status is None:
            raise _away("the media store can't be reached")
        if status in AWAY:
            raise _away(f"the media store answered {status}")

    def close(self) -> None:
        """See `MediaStore.close`."""
        self._origin.close()

    def _revalidate(self, path: str, place: Place) -> bytes:
        known = place.read()
        answer = self._download(path, known)
        if known is not None and answer.status == 304:
            place.touch()
            return known.content
        place.write(answer.headers, answer.body)
        return answer.body

    def _download(self, path: str, known: Cached | None) -> Answer:
        """A 200 with its body, or the 304 that confirms what is known."""
        headers = {} if known is None else {"If-None-Match": known.etag}
        try:
            answer = self._ask(Request("GET", path, headers), self._room)
        except BodyTooLong as error:
            raise PermanentError(ErrorCode.IMAGE_TOO_LARGE, "the file has too many bytes") from error
        if self._room(answer.status, answer.headers) is not None or _confirms(answer, known):
            self._refused = False
            return answer
        raise self._judge(answer)

    def _room(self, status: int, headers: httpx2.Headers) -> int | None:
        plain = headers.get("content-encoding", "identity").strip().lower() == "identity"
        return self._max_bytes if status == 200 and plain else None

    def _ask(self, request: Request, wanted: Wanted = nothing) -> Answer:
        try:
            return self._origin.ask(request, self._seconds, wanted)
        except Unreachable as error:
            raise _away("the media store can't be reached") from error
        except NoAnswer as error:
            raise self._transient("the media store gave no whole answer in time", str(error)) from error

    def _judge(self, answer: Answer) -> JobError:
        status = answer.status
        if status in ABSENT:
            return _not_found()
        if status in FORBIDDEN:
            return self._forbidden(status)
        retry_after = seconds_to_wait(answer.headers.get("retry-after"))
        if status == BUSY:
            return _away(f"the media store answered {status}", retry_after)
        return self._transient(_complaint(answer), f"status {status}", retry_after)

    def _forbidden(self, status: int) -> PermanentError:
        if not self._refused:
            structlog.get_logger().error(
                "media store refuses this service: check MEDIA_STORE_TOKEN", action="media_forbidden", status=status
            )
        self._refused = True
        return PermanentError(ErrorCode.MEDIA_FORBIDDEN, "the media store refuses this item to the service")

    def _transient(self, message: str, reason: str, retry_after: float | None = None) -> TransientError:
        """Who is to blame: the store, when it gives no answer to anything now, else this item."""
        status = self._status_of_root()
        if status is None or status in AWAY:
            return _away(message, retry_after)
        structlog.get_logger().warning("media store fails", action="media_unavailable", reason=reason)
        return TransientError(ErrorCode.MEDIA_UNAVAILABLE, message, retry_after=retry_after)

    def _status_of_root(self) -> int | None:
        try:
            return self._origin.ask(Request("GET", "/", {}), min(self._seconds, CHECK_SECONDS)).status
        except (Unreachable, NoAnswer):
            return None


def _path(media_store_id: str) -> str:
    if not MEDIA_STORE_ID.fullmatch(media_store_id):
        raise _not_found()
    return f"/media/{quote(media_store_id, safe='')}"


def _confirms(answer: Answer, known: Cached | None) -> bool:
    return answer.status == 304 and known is not None and known.is_named(answer.headers.get("etag"))


def _complaint(answer: Answer) -> str:
    if answer.status == 200:
        return "the media store answered with a compressed file, which nobody asked for"
    redirect = " with a redirect, which is not followed" if "location" in answer.headers else ""
    return f"the media store answered {answer.status}{redirect}"


def _not_found() -> PermanentError:
    return PermanentError(ErrorCode.MEDIA_NOT_FOUND, "the media store has no such item")


def _away(message: str, retry_after: float | None = None) -> DependencyAway:
    return DependencyAway(Dependency.MEDIA_STORE, ErrorCode.MEDIA_UNAVAILABLE, message, retry_after=retry_after)


def _open(options: StoreOptions) -> HttpStore:
    _require_origin(options.url)
    token = options.token or ""
    if not token.isascii() or not token.isprintable() or " " in token:
        raise CannotStart("MEDIA_STORE_TOKEN has characters that no token can have")
    return HttpStore(options)


def _require_origin(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0 and bool(httpx2.URL(url).host)
    except (ValueError, httpx2.InvalidURL):
        raise CannotStart("the address of the media store is no URL: it is http://host[:port][/path]") from None
    if "@" in parts.netloc:  # the message doesn't repeat it: it may be a password
        raise CannotStart("the address of the media store has a user in it; give a token by MEDIA_STORE_TOKEN instead")
    if not usable or parts.query or parts.fragment:
        raise CannotStart(f"a media store is given as http://host[:port][/path], not as {url!r}")


HTTP = StoreKind("http", _open, _open)
HTTPS = StoreKind("https", _open, _open)
