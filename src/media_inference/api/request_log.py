"""One log line per request, and an id that ties it to every other line of that request."""

import time
from collections.abc import Collection

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from media_inference.api.lines import REFUSED
from media_inference.api.problems import ProblemCode, problem_response
from media_inference.api.request_id import REQUEST_ID_HEADER, request_id

log = structlog.get_logger(__name__)

_ID_HEADER = REQUEST_ID_HEADER.lower().encode()


class RequestLog:
    """The layer around all that can fail: gives each request its id, answers 500 for the unforeseen, writes the log.

    Paths in ``unlogged`` get no line, nor do requests that were refused for load.
    """

    def __init__(self, app: ASGIApp, unlogged: Collection[str]) -> None:
        self._app = app
        self._unlogged = unlogged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, own_id = time.perf_counter(), 0, request_id(scope)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), (_ID_HEADER, own_id.encode())]}
            await send(message)

        # Not as a context manager: that looks at every variable of the context each time.
        bound = structlog.contextvars.bind_contextvars(request_id=own_id)
        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            pass  # nobody is left to answer
        except Exception:
            log.exception("a request failed", action="request_failed", route=_route(scope))
            if status:
                raise  # half an answer can't be taken back: the server breaks the connection
            await problem_response(ProblemCode.INTERNAL)(scope, receive, send_with_id)
        finally:
            if scope["path"] not in self._unlogged and REFUSED not in scope:
                _write_line(scope, status, time.perf_counter() - started)
            structlog.contextvars.reset_contextvars(**bound)


def _write_line(scope: Scope, status: int, seconds: float) -> None:
    log.info(
        "request answered" if status else "request abandoned",
        action="http_request",
        method=scope["method"],
        route=_route(scope),
        status=status or None,
        duration_ms=round(seconds * 1000, 1),
    )


def _route(scope: Scope) -> str | None:
    """The route's template, so that ids stay out of the log's keys."""
    return getattr(scope.get("route"), "path", None)
