"""Requests of one kind in the works at once, so that no kind takes the threads of another, or the time."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from media_inference.api.lines import Lines
from media_inference.api.problems import ProblemCode, problem_response
from media_inference.api.request_id import REQUEST_ID_HEADER, request_id
from media_inference.api.security_headers import SECURITY_HEADERS

TOO_MANY_REQUESTS = 429


class TurnAway:
    """The outermost layer: who would find the line full is refused before anything has been done for him.

    Under a flood most requests end here, and what they cost is what all others have to wait for. So the answer is made
    once, but for its request id.
    """

    def __init__(self, app: ASGIApp, lines: Lines) -> None:
        self._app = app
        self._lines = lines
        self._answers = {code: _answer(code) for code in (ProblemCode.TOO_BUSY, ProblemCode.QUEUE_FULL)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the application, or answers 503 or 429."""
        code = self._lines.verdict(scope)
        if code is None:
            await self._app(scope, receive, send)
            return
        await self._lines.hold_back(scope)
        start, body = self._answers[code]
        own_id = (REQUEST_ID_HEADER.lower().encode(), request_id(scope).encode())
        await send({**start, "headers": [*start["headers"], own_id]})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _answer(code: ProblemCode) -> tuple[Message, bytes]:
    answer = problem_response(code, headers=SECURITY_HEADERS)
    start = {"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers}
    return start, bytes(answer.body)


class Admission:
    """Lets each request wait for a place among its kind, or answers 503.

    A 429 of the application is a refusal as well: the queue is full, or a client has streams enough.

    An event stream has a place until it begins: it may last for days, and the feed has a limit of its own for them.
    """

    def __init__(self, app: ASGIApp, lines: Lines) -> None:
        self._app = app
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the application, or answers 503."""
        line = self._lines.of(scope)
        if line is None:
            await self._app(scope, receive, send)
            return
        if not await line.enter():
            await self._lines.hold_back(scope)
            await problem_response(ProblemCode.TOO_BUSY)(scope, receive, send)
            return
        inside = True

        async def send_and_leave(message: Message) -> None:
            nonlocal inside
            refused = message.get("status") == TOO_MANY_REQUESTS
            if inside and (refused or _begins_stream(message)):
                inside = False
                line.leave()
            if refused:
                self._lines.note_429(line)
                await self._lines.hold_back(scope)
            await send(message)

        try:
            await self._app(scope, receive, send_and_leave)
        finally:
            if inside:
                line.leave()


def _begins_stream(message: Message) -> bool:
    headers = message.get("headers", ())
    return message["type"] == "http.response.start" and any(
        name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers
    )
