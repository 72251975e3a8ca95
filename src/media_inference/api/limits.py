"""Bounds on what clients may send: bytes in a body, time for it, requests at once."""

import asyncio
import time
from collections.abc import Collection, Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from media_inference.api.problems import Problem, ProblemCode, problem_response

SLOWEST_BYTES_PER_SECOND = 16 * 1024


class BodyLimit:
    """Refuses bodies above a number of bytes: at once if their length is declared, else when they pass it.

    It waits ``seconds`` for a body, and longer the more of it has come: each request that waits for the rest of its
    body takes a place of `RequestLimit`. The framework's own limit answers as text/plain.
    """

    def __init__(self, app: ASGIApp, most_bytes: int, by_path: Mapping[str, int], seconds: float) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._by_path = by_path
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the application with a limited `receive`."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most_bytes = self._by_path.get(scope["path"], self._most_bytes)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and (len(declared) > 18 or int(declared) > most_bytes):
            await problem_response(ProblemCode.BODY_TOO_LARGE)(scope, receive, send)
            return
        await self._app(scope, _Body(receive, most_bytes, self._seconds).receive, send)


class _Body:
    """One body on its way in. Only time that the client lets pass counts, not what is done with the pieces."""

    def __init__(self, receive: Receive, most_bytes: int, seconds: float) -> None:
        self._receive = receive
        self._most_bytes = most_bytes
        self._seconds = seconds
        self._bytes = 0
        self._waited = 0.0
        self._whole = False

    async def receive(self) -> Message:
        """The next piece, then what the server says."""
        if self._whole:
            return await self._receive()
        message = await self._next_piece()
        self._whole = not message.get("more_body", False)
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._most_bytes:
            raise Problem(ProblemCode.BODY_TOO_LARGE)
        return message

    async def _next_piece(self) -> Message:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._seconds + self._bytes / SLOWEST_BYTES_PER_SECOND - self._waited):
                return await self._receive()
        except TimeoutError:
            raise Problem(ProblemCode.BODY_TOO_SLOW) from None
        finally:
            self._waited += time.monotonic() - started


class RequestLimit:
    """Refuses requests while ``most`` others are in the works, except those to the paths ``always``.

    An event stream counts until it begins: it may last for days, and the feed has a limit of its own for them.
    """

    def __init__(self, app: ASGIApp, most: int, always: Collection[str]) -> None:
        self._app = app
        self._most = most
        self._always = always
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the application, or answers 503."""
        if scope["type"] != "http" or scope["path"] in self._always:
            await self._app(scope, receive, send)
            return
        if self._running >= self._most:
            await problem_response(ProblemCode.TOO_BUSY)(scope, receive, send)
            return
        self._running += 1
        counts = True

        async def send_and_count(message: Message) -> None:
            nonlocal counts
            if counts and _begins_stream(message):
                counts = False
                self._running -= 1
            await send(message)

        try:
            await self._app(scope, receive, send_and_count)
        finally:
            self._running -= counts


def _begins_stream(message: Message) -> bool:
    headers = message.get("headers", ())
    return message["type"] == "http.response.start" and any(
        name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers
    )
