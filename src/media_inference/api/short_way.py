"""`POST /job/{task_type}` past the framework, which takes longer over a function's arguments than we over the job.

Only a request that is in order comes this way. Any other goes the long way to the route of the same address, which says
what is wrong with it; so both ways come to the same answers, and the route is their description.
"""

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from media_inference.api.auth import identify, require_support
from media_inference.api.group_commit import GroupCommit
from media_inference.api.schemas import IDEMPOTENCY_KEY, CreatedJob, NewJobRequest
from media_inference.api.services import Services
from media_inference.api.submit_one import Accepted, submit_one
from media_inference.jobs.job import NewJob
from media_inference.queue.submission import RequestKey

AnswerError = Callable[[Request, Exception], Coroutine[Any, Any, Response]]

_PREFIX = "/job/"
_AUTHORIZATION, _CONTENT_TYPE, _KEY = b"authorization", b"content-type", b"idempotency-key"
_LOOKED_AT = frozenset({_AUTHORIZATION, _CONTENT_TYPE, _KEY})
_IN_ORDER = re.compile(IDEMPOTENCY_KEY.encode())
_CREATED_JOB = TypeAdapter(CreatedJob)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the head of a request says."""

    task_type: str
    token: str | None
    key: str | None


class ShortWay:
    """The innermost layer. ``route`` is the one that the others go to, ``answers`` those to errors."""

    def __init__(
        self,
        app: ASGIApp,
        services: Services,
        submitting: GroupCommit,
        *,
        route: BaseRoute,
        answers: Mapping[int | type[Exception], AnswerError],
    ) -> None:
        self._app = app
        self._services = services
        self._submitting = submitting
        self._route = route
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request for a job, or runs the application."""
        asked = _asked(scope, self._services)
        if asked is None:
            await self._app(scope, receive, send)
            return
        first = await receive()
        new = _new_job(asked.task_type, first)
        if new is None:
            await self._app(scope, _beginning_with(first, receive), send)
            return
        scope["route"] = self._route
        try:
            accepted = await self._submit(asked, new)
        except Exception as error:
            answer = next((self._answers[kind] for kind in type(error).__mro__ if kind in self._answers), None)
            if answer is None:
                raise
            await (await answer(Request(scope), error))(scope, receive, send)
            return
        await _send(accepted, send)

    async def _submit(self, asked: _Asked, new: NewJob) -> Accepted:
        caller = identify(self._services.access, asked.token)
        require_support(caller)
        key = None if asked.key is None else RequestKey("" if caller is None else caller.subject, asked.key)
        return await submit_one(new, key, self._services, self._submitting)


def _asked(scope: Scope, services: Services) -> _Asked | None:
    """None unless it asks for a job in the plainest way."""
    if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(_PREFIX):
        return None
    task_type = scope["path"][len(_PREFIX) :]
    headers = _headers(scope)
    if task_type not in services.task_types or headers.get(_CONTENT_TYPE) != b"application/json":
        return None
    key = headers.get(_KEY)
    if key is not None and _IN_ORDER.fullmatch(key) is None:
        return None
    scheme, _, token = headers.get(_AUTHORIZATION, b"").decode("latin-1").partition(" ")
    if _AUTHORIZATION in headers and (scheme.lower() != "bearer" or not token.strip()):
        return None
    return _Asked(task_type, token.strip() or None, None if key is None else key.decode("ascii"))


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """Those that are looked at; none when one of them comes twice."""
    found = [(name, value) for name, value in scope["headers"] if name in _LOOKED_AT]
    headers = dict(found)
    return headers if len(headers) == len(found) else {}


def _new_job(task_type: str, message: Message) -> NewJob | None:
    """None unless the message is a whole body that is in order."""
    if message["type"] != "http.request" or message.get("more_body", False):
        return None
    try:
        wanted = NewJobRequest.model_validate_json(message.get("body", b""))
    except ValidationError:
        return None
    return NewJob(task_type, wanted.media_store_id, wanted.priority)


def _beginning_with(first: Message, receive: Receive) -> Receive:
    """What was received once is received again, and then the rest."""
    messages = [first]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


async def _send(accepted: Accepted, send: Send) -> None:
    body = _CREATED_JOB.dump_json(accepted.job)
    headers: list[tuple[bytes, bytes]] = [
        (b"content-length", b"%d" % len(body)),
        (b"content-type", b"application/json"),
        *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in accepted.headers.items()),
    ]
    start: dict[str, Any] = {"type": "http.response.start", "status": accepted.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
