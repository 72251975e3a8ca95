"""Exchanges with one HTTP server, within bounds that hold whatever the server does.

The library's connection pool is used without its client: so there are no redirects, cookies, proxies or credentials
of the environment that would have to be switched off. A time limit around the whole exchange needs an event loop: a
limit per read never ends a server that sends its headers byte by byte.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass

import httpcore2
import httpx2

from media_inference.media.http_connection import CountedBackend
from media_inference.media.loop_thread import LoopClosed, LoopThread
from media_inference.media.store_kind import StoreOptions

KEPT_ALIVE = 4
IDLE_SECONDS = 15.0
REST_BYTES = 4096
REST_SECONDS = 1.0
BODILESS = {204, 304}

FAILURES = (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError)
"""What the library raises when an exchange fails; `TimeoutError` and some of TLS are an `OSError`."""


class Unreachable(Exception):
    """No connection came about: no such name, nobody listens, no answer in time, no trust (TLS)."""


class NoAnswer(Exception):
    """A connection, but no whole answer on it in time."""


class BodyTooLong(Exception):
    """The body has more bytes than wanted."""


@dataclass(frozen=True, slots=True)
class Request:
    """``path`` is appended to the configured URL. An iterable body tells its length in ``headers``."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: AsyncIterable[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` is empty where it was not wanted."""

    status: int
    headers: httpx2.Headers
    body: bytes


Wanted = Callable[[int, httpx2.Headers], int | None]
"""Looks at status and headers and returns how many bytes the body may have, or None when it is not wanted."""


def nothing(_status: int, _headers: httpx2.Headers) -> None:
    """Wants no body."""


class HttpOrigin:
    """Pooled connections to the origin of ``options.url``. Safe for several threads; close it when done."""

    def __init__(self, options: StoreOptions) -> None:
        self._url = options.url.rstrip("/")
        self._headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "media-inference"}
        if options.token:
            self._headers["Authorization"] = f"Bearer {options.token}"
        silence = options.read_timeout
        self._timeouts = {"connect": options.connect_timeout, "read": silence, "write": silence, "pool": None}
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpx2.create_ssl_context(trust_env=False) if self._url.lower().startswith("https:") else None,
            max_connections=options.max_connections,
            max_keepalive_connections=KEPT_ALIVE,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=CountedBackend(),
        )
        self._loop = LoopThread("media-store")

    def ask(self, request: Request, seconds: float, wanted: Wanted = nothing) -> Answer:
        """The answer, within ``seconds`` from the look-up of the name to the last byte.

        Raises `Unreachable`, `NoAnswer`, `BodyTooLong`, and what ``request.body`` raises.
        """
        try:
            return self._loop.run(self._ask, request, seconds, wanted)
        except LoopClosed as error:
            raise Unreachable("closed") from error

    def close(self) -> None:
        """Cuts what still runs, as `NoAnswer`, and lets the connections go; from now on everything is `Unreachable`."""
        self._loop.close(self._pool.aclose)

    async def _ask(self, request: Request, seconds: float, wanted: Wanted) -> Answer:
        trail = _Trail()
        try:
            async with asyncio.timeout(seconds):
                deadline = asyncio.get_running_loop().time() + seconds
                while True:
                    trail = _Trail()
                    with contextlib.suppress(_Stale):
                        return await self._exchange(request, wanted, trail, deadline)
        except (*FAILURES, UnicodeError, asyncio.CancelledError) as error:
            raise (NoAnswer if trail.connected else Unreachable)(type(error).__name__) from error

    async def _exchange(self, request: Request, wanted: Wanted, trail: "_Trail", deadline: float) -> Answer:
        try:
            response = await self._pool.handle_async_request(self._prepared(request, trail))
        except (httpcore2.NetworkError, httpcore2.RemoteProtocolError) as error:
            if trail.reused:
                raise _Stale from error
            raise
        try:
            headers = httpx2.Headers(response.headers)
            room = wanted(response.status, headers)
            if room is None:
                await _rest(response, deadline)
                return Answer(response.status, headers, b"")
            return Answer(response.status, headers, await _body(response, room))
        finally:
            await response.aclose()

    def _prepared(self, request: Request, trail: "_Trail") -> httpcore2.Request:
        made = httpx2.Request(
            request.method,
            self._url + request.path,
            headers={**self._headers, **request.headers},
            content=request.body,
        )
        url = made.url
        return httpcore2.Request(
            made.method,
            httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=made.headers.raw,
            content=request.body,
            extensions={"timeout": self._timeouts, "trace": trail},
        )


class _Stale(Exception):
    """A kept connection broke before anything came: the other side had just closed it. Another one may do."""


class _Trail:
    """How far a request came, as the library reports it."""

    def __init__(self) -> None:
        self.connecting = False
        self.connected = False

    @property
    def reused(self) -> bool:
        return self.connected and not self.connecting

    async def __call__(self, event: str, _: object) -> None:
        if event == "connection.connect_tcp.started":
            self.connecting = True
        elif event == "http11.send_request_headers.started":
            self.connected = True


async def _body(response: httpcore2.Response, room: int) -> bytes:
    """The bytes as they came: nobody asked for compressed ones, so nothing is unpacked."""
    announced = _announced(response)
    if announced is not None and announced > room:
        raise BodyTooLong
    body = bytearray()
    async with contextlib.aclosing(response.aiter_stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > room:
                raise BodyTooLong
    if announced == len(body):
        response.extensions["network_stream"].note_end(len(body))
    return bytes(body)


def _announced(response: httpcore2.Response) -> int | None:
    """How long the body is, if the answer says so."""
    if response.status in BODILESS:
        return 0
    lengths = [value for name, value in response.headers if name.lower() == b"content-length"]
    return int(lengths[0]) if len(lengths) == 1 and lengths[0].isdigit() and len(lengths[0]) <= 20 else None


async def _rest(response: httpcore2.Response, deadline: float) -> None:
    """Reads a short body that nobody wants, because only then the connection can be used again.

    It gives up well before the deadline: a server that drips it has answered all the same.
    """
    now = asyncio.get_running_loop().time()
    with contextlib.suppress(BodyTooLong, *FAILURES):
        async with asyncio.timeout_at(now + min(REST_SECONDS, (deadline - now) / 2)):
            await _body(response, REST_BYTES)
