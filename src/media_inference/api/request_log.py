"""One log line per request, and an id that ties it to every other line of that request."""

import re
import time
import uuid
from collections.abc import Collection

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from media_inference.api.problems import ProblemCode, problem_response

REQUEST_ID_HEADER = "X-Request-ID"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

log = structlog.get_logger(__name__)


class RequestLog:
    """The outermost layer: gives each request its id, answers 500 for what nobody foresaw, writes the access log.

    A client's own `X-Request-ID` is kept if it is a plain word. Paths in ``unlogged`` get no line.
    """

    def __init__(self, app: ASGIApp, unlogged: Collection[str]) -> None:
        self._app = app
        self._unlogged = unlogged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, request_id = time.perf_counter(), 0, _request_id(scope)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
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
                if scope["path"] not in self._unlogged:
                    _write_line(scope, status, time.perf_counter() - started)


def _write_line(scope: Scope, status: int, seconds: float) -> None:
    log.info(
        "request answered" if status else "request abandoned",
        action="http_request",
        method=scope["method"],
        route=_route(scope),
        status=status or None,
        duration_ms=round(seconds * 1000, 1),
    )


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _route(scope: Scope) -> str | None:
    """The route's template, so that ids stay out of the log's keys."""
    return getattr(scope.get("route"), "path", None)
