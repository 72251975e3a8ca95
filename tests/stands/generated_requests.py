"""What schemathesis is told about this service; loaded by it as its hooks.

It finds out by itself what requests there are. It can't know which jobs there are, that event streams have no end, and
what must not be in an answer.
"""

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote
from zlib import crc32

import requests
import schemathesis

JOB_IDS = tuple(os.environ.get("GENERATED_JOB_IDS", "").split())
"""Finished jobs, which half of the requests that look at a job ask for."""
TOKEN = os.environ.get("GENERATED_TOKEN", "")
WITHOUT_TOKEN = 8
"""One request of so many comes without a token."""

_TRACES = re.compile(r"/(?:work|home|tmp|root|usr|var|proc)/|Traceback|File \"|\.py\b|0x[0-9a-f]{8}")
_INSIDES = re.compile(
    r"sqlite|sqlalchemy|pydantic|starlette|fastapi|uvicorn|\b(?:select|insert|update|delete from|pragma|begin)\b",
    re.IGNORECASE,
)
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""A field of such a name is named when it is not known, so that a misspelt one is found."""
_LEAST_ECHO = 8
"""Characters of an input that are no coincidence in an answer."""

_numbers = itertools.count(1)
_description: list[str] = []


@schemathesis.hook
def after_load_schema(_context: Any, schema: Any) -> None:
    """Keeps the words of the description."""
    _description[:] = [json.dumps(schema.raw_schema)]


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """Asks for jobs that there are, half of the time, unless they are to be deleted."""
    wanted = path_parameters.get("job_id") if isinstance(path_parameters, dict) else None
    if isinstance(wanted, str) and JOB_IDS and context.operation.method.upper() == "GET":
        chance = crc32(wanted.encode("utf-8", "surrogatepass"))
        if chance % 2:
            path_parameters["job_id"] = JOB_IDS[chance // 2 % len(JOB_IDS)]
            if "index" in path_parameters:
                path_parameters["index"] = chance // 8 % 4
    return path_parameters


@schemathesis.auth()
class _Token:
    """Sends the token, but leaves it out now and then."""

    def get(self, _case: Any, _context: Any) -> str:
        return TOKEN

    def set(self, case: Any, data: str, _context: Any) -> None:
        if next(_numbers) % WITHOUT_TOKEN:
            case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(_context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Makes each Idempotency-Key a new one, and hangs up on streams."""
    key = case.headers.get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        case.headers["Idempotency-Key"] = f"{key[:200]}-{os.getpid()}-{next(_numbers)}"
    kwargs["hooks"] = {"response": _read_the_beginning}


def _read_the_beginning(response: requests.Response, **_: object) -> None:
    """Of a stream: its first block, as a reader that hangs up then. All of any other answer."""
    if response.headers.get("Content-Type", "").startswith("text/event-stream"):
        response._content = next(response.iter_content(None), b"")  # where it keeps what it has read
        response.close()


@schemathesis.check
def tells_nothing_of_the_inside(_context: Any, response: Any, case: Any) -> None:
    """Neither paths, traces and names of libraries, nor what was sent, in any error."""
    if response.headers.get("content-type", [""])[0].startswith("image/"):
        return
    answer = response.text
    found = _TRACES.search(answer) or (_INSIDES.search(answer) if response.status_code >= 400 else None)
    assert found is None, f"the answer tells of the inside: {found[0]!r}"
    if response.status_code >= 400:
        echoed = [value for value in _strings(case) if value in answer]
        assert not echoed, f"the answer repeats what was sent: {echoed[0]!r}"


@schemathesis.check
def says_when_to_come_back(_context: Any, response: Any, _case: Any) -> None:
    """Whoever is refused for load is told when to come back."""
    if response.status_code in {429, 503}:
        assert "retry-after" in response.headers


def _strings(case: Any) -> Iterator[str]:
    """What a case sends, but for words that the description of the service has too."""
    for sent in (case.path_parameters, case.query, case.headers, case.cookies, case.body):
        for value in _leaves(sent):
            if len(value) >= _LEAST_ECHO and json.dumps(value)[1:-1] not in _description[0]:
                yield value


def _leaves(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
            yield unquote(value)
        case Mapping():
            for name, inner in value.items():
                yield from () if _PLAIN_NAME.fullmatch(name) else _leaves(name)
                yield from _leaves(inner)
        case list() | tuple():
            for inner in value:
                yield from _leaves(inner)
