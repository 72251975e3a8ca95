"""Bounds on the bodies that clients may send: bytes, time, depth, and how many are on their way at once."""

import asyncio
import time
from collections.abc import Collection, Mapping

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from media_inference.api.json_depth import MOST_DEPTH, is_deeper
from media_inference.api.problems import Problem, ProblemCode, problem_response

SLOWEST_BYTES_PER_SECOND = 16 * 1024
WHOLE = "media_inference.whole"
"""The server's extension of ASGI that says of a request that all of its body has come."""

_SIZES = frozenset({b"content-length", b"transfer-encoding"})


class BodyLimit:
    """Refuses bodies above a number of bytes: at once if their length is declared, else when they pass it.

    It waits ``seconds`` for a body, and longer the more of it has come. Bodies are gathered here, ``most_arriving`` at
    once, so that a slow one holds no place among the requests in the works; those to the paths in ``streamed`` go on as
    they come. The framework's own limit answers as text/plain.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        most_bytes: int,
        by_path: Mapping[str, int],
        streamed: Collection[str],
        seconds: float,
        most_arriving: int,
    ) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._by_path = by_path
        self._streamed = streamed
        self._seconds = seconds
        self._most_arriving = most_arriving
        self._arriving = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the application with a body that is whole, or a limited `receive`."""
        sizes = {name: value for name, value in scope.get("headers", ()) if name in _SIZES}
        if not sizes:
            await self._app(scope, receive, send)
            return
        most_bytes = self._by_path.get(scope["path"], self._most_bytes)
        declared = sizes.get(b"content-length", b"").decode("latin-1")
        if declared.isdecimal() and (len(declared) > 18 or int(declared) > most_bytes):
            await problem_response(ProblemCode.BODY_TOO_LARGE)(scope, receive, send)
            return
        body = _Body(scope, receive, most_bytes, self._seconds)
        if scope["path"] not in self._streamed:
            try:
                await self._gather(body)
            except Problem as problem:
                await problem_response(problem.code, problem.detail)(scope, receive, send)
                return
        await self._app(scope, body.receive, send)

    async def _gather(self, body: "_Body") -> None:
        """Waits until the body is there. Raises `Problem`, and `ClientDisconnect`."""
        if self._arriving >= self._most_arriving:
            raise Problem(ProblemCode.TOO_BUSY)
        self._arriving += 1
        try:
            content = await body.gather()
        finally:
            self._arriving -= 1
        if is_deeper(content, MOST_DEPTH):
            raise Problem(ProblemCode.BAD_REQUEST, f"The body is nested more than {MOST_DEPTH} deep.")


class _Body:
    """One body on its way in. Only time that the client lets pass counts, not what is done with the pieces."""

    def __init__(self, scope: Scope, receive: Receive, most_bytes: int, seconds: float) -> None:
        self._extensions = scope.get("extensions", {})
        self._receive = receive
        self._most_bytes = most_bytes
        self._seconds = seconds
        self._bytes = 0
        self._waited = 0.0
        self._whole = False
        self._gathered: bytes | None = None

    async def gather(self) -> bytes:
        """All of it, which `receive` then gives in one piece. Raises `Problem`, and `ClientDisconnect`."""
        pieces = []
        while not self._whole:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            pieces.append(message.get("body", b""))
        self._gathered = b"".join(pieces)
        return self._gathered

    async def receive(self) -> Message:
        """The next piece, then what the server says."""
        if self._gathered is not None:
            content, self._gathered = self._gathered, None
            return {"type": "http.request", "body": content, "more_body": False}
        if self._whole:
            return await self._receive()
        message = await self._next_piece()
        self._whole = not message.get("more_body", False)
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._most_bytes:
            raise Problem(ProblemCode.BODY_TOO_LARGE)
        return message

    async def _next_piece(self) -> Message:
        if WHOLE in self._extensions:
            return await self._receive()  # nobody is waited for
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._seconds + self._bytes / SLOWEST_BYTES_PER_SECOND - self._waited):
                return await self._receive()
        except TimeoutError:
            raise Problem(ProblemCode.BODY_TOO_SLOW) from None
        finally:
            self._waited += time.monotonic() - started
