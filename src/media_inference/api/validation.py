"""What pydantic found wrong with a request -> one sentence for whoever wrote the client.

No sentence repeats a value of the request: pydantic's own wording is used only where it states a rule.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from media_inference.api.problems import ProblemCode, problem_response

_MOST_SENTENCES = 3
_RULE = re.compile(r"^(?:Input|String|List|Tuple|Value error,)\s+(should|must|has|is)\b")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


async def answer_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    """Answers a request that is not of the shape that its route takes."""
    errors = error.errors() if isinstance(error, RequestValidationError) else ()
    if any(found["loc"][0] == "path" for found in errors):
        return problem_response(ProblemCode.NOT_FOUND)  # an address that can't be, rather than a wrong request
    if any(found["loc"] == ("body",) and isinstance(found.get("input"), bytes) for found in errors):
        return problem_response(ProblemCode.UNSUPPORTED_MEDIA_TYPE, "The body should be sent as application/json.")
    return problem_response(ProblemCode.INVALID_REQUEST, sentences(errors) or None)


def sentences(errors: Sequence[Mapping[str, Any]]) -> str:
    """The first errors, one sentence each."""
    return " ".join(dict.fromkeys(_sentence(error) for error in errors[:_MOST_SENTENCES]))


def _sentence(error: Mapping[str, Any]) -> str:
    name = _name(error["loc"][1:])
    match error["type"]:
        case "json_invalid":
            return "The body is not valid JSON."
        case "missing":
            return f"{name} is missing."
        case "extra_forbidden":
            known = _PLAIN_NAME.fullmatch(str(error["loc"][-1])) is not None
            return f"{name} is not known here." if known else "There is a field that is not known here."
    rule, replaced = _RULE.subn(rf"{name} \1", error["msg"])
    return f"{rule}." if replaced else f"{name} is not valid."


def _name(location: Sequence[str | int]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return f"`{path.removeprefix('.')}`" if path else "The body"
