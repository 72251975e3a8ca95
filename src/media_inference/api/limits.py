"""Bounds on what clients may send: bytes in a body, requests at once."""

from collections.abc import Collection, Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from media_inference.api.problems import Problem, ProblemCode, problem_response


class BodyLimit:
    """Refuses bodies above a number of bytes: at once if their length is declared, else when they pass it.

    The framework's own limit answers as text/plain.
    """

    def __init__(self, app: ASGIApp, most_bytes: int, by_path: Mapping[str, int]) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._by_path = by_path

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
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most_bytes:
                raise Problem(ProblemCode.BODY_TOO_LARGE)
            return message

        await self._app(scope, receive_within_limit, send)


class RequestLimit:
    """Refuses requests while ``most`` others are in the works, except those to the paths ``always``."""

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
        try:
            await self._app(scope, receive, send)
        finally:
            self._running -= 1
