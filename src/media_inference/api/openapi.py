"""The OpenAPI document: every route with every answer, errors included."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from starlette.routing import BaseRoute

from media_inference.api.problems import MEANINGS, MEDIA_TYPE, ProblemCode, ProblemDocument

Answers = dict[int | str, dict[str, Any]]

_DESCRIPTION = """A job asks for one task on one picture. Post it, then look at it until it is `completed` or `failed`;
vectors and files are there from the moment a job is `completed`."""
_SCHEMA = f"#/components/schemas/{ProblemDocument.__name__}"
_ANY_PROBLEMS = (
    ProblemCode.BAD_REQUEST,
    ProblemCode.HEAD_TOO_SLOW,
    ProblemCode.HEAD_TOO_LARGE,
    ProblemCode.TOO_BUSY,
    ProblemCode.INTERNAL,
)
_BODY_PROBLEMS = (
    ProblemCode.BODY_TOO_SLOW,
    ProblemCode.BODY_TOO_LARGE,
    ProblemCode.UNSUPPORTED_MEDIA_TYPE,
    ProblemCode.INVALID_REQUEST,
)


def ends_in(*codes: ProblemCode) -> Answers:
    """The ``responses`` of a route that may end in these problems, besides those that its shape brings along."""
    answers: Answers = {}
    for code in codes:
        _add_answer(answers, MEANINGS[code].status, code)
    return answers


def openapi_document(version: str, task_types: Mapping[str, str], routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The document as `/openapi.json` serves it."""
    document = get_openapi(title="media-inference", version=version, description=_DESCRIPTION, routes=routes)
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):  # the framework's idea of a 422
        schemas.pop(name, None)
    schemas[ProblemDocument.__name__] = TypeAdapter(ProblemDocument).json_schema()
    for operations in document["paths"].values():
        for operation in operations.values():
            _add_shared_problems(operation)
            _name_task_types(operation, task_types)
    return document


def _add_shared_problems(operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    if "application/json" in answers.get("422", {}).get("content", {}):
        del answers["422"]
    for code in _shared_problems(operation):
        _add_answer(answers, str(MEANINGS[code].status), code)
    operation["responses"] = dict(sorted(answers.items()))


def _shared_problems(operation: Mapping[str, Any]) -> Iterable[ProblemCode]:
    if "security" in operation:
        yield from (ProblemCode.UNAUTHORIZED, ProblemCode.FORBIDDEN)
    if "requestBody" in operation:
        yield from _BODY_PROBLEMS
    elif any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
        yield ProblemCode.INVALID_REQUEST
    yield from _ANY_PROBLEMS


def _add_answer(answers: dict[Any, dict[str, Any]], status: int | str, code: ProblemCode) -> None:
    meaning = MEANINGS[code]
    line = f"`{code}`: {meaning.detail}"
    answer = answers.setdefault(status, {"description": ""})
    answer["description"] = f"{answer['description']}\n{line}".strip()
    answer.setdefault("content", {})[MEDIA_TYPE] = {"schema": {"$ref": _SCHEMA}}
    if code is ProblemCode.UNAUTHORIZED:
        answer.setdefault("headers", {})["WWW-Authenticate"] = {"schema": {"type": "string", "const": "Bearer"}}
    if meaning.retry_after is not None:
        seconds = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        answer.setdefault("headers", {})["Retry-After"] = seconds


def _name_task_types(operation: Mapping[str, Any], task_types: Mapping[str, str]) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == "task_type" and parameter["in"] == "query":
            any_of = "|".join(map(re.escape, task_types))
            parameter["schema"]["pattern"] = f"^({any_of})?(,({any_of})?)*$"
        elif parameter["name"] == "task_type":
            parameter["schema"] = {"type": "string", "enum": list(task_types)}
            parameter["description"] = "\n".join(f"`{name}`: {summary}" for name, summary in task_types.items())
