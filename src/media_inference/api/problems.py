"""Every error that a request can end in, as RFC 9457 `application/problem+json`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import structlog
from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import WithJsonSchema
from starlette.exceptions import HTTPException as StarletteHTTPException
from typing_extensions import TypedDict  # typing's own lacks what pydantic needs before Python 3.12

from media_inference.errors import (
    ErrorCode,
    NoTextTower,
    TextEmbedderAway,
    TextEmbedderBusy,
    TextTowerUnusable,
    TransientError,
)

MEDIA_TYPE = "application/problem+json"

log = structlog.get_logger(__name__)


class ProblemCode(StrEnum):
    """The closed list of codes in an error answer; where it can be, the same word as in a failed job."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    JOB_NOT_FOUND = "job_not_found"
    CROP_NOT_FOUND = "crop_not_found"
    POINT_NOT_FOUND = "point_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    HEAD_TOO_SLOW = "head_too_slow"
    BODY_TOO_SLOW = "body_too_slow"
    UPLOAD_NOT_SUPPORTED = "upload_not_supported"
    TEXT_NOT_SUPPORTED = "text_not_supported"
    TEXT_TOWER_UNUSABLE = "text_tower_unusable"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    INVALID_REQUEST = "invalid_request"
    UNKNOWN_TASK_TYPE = "unknown_task_type"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    UPLOAD_REFUSED = "upload_refused"
    QUEUE_FULL = "queue_full"
    TOO_MANY_STREAMS = "too_many_streams"
    HEAD_TOO_LARGE = "head_too_large"
    INTERNAL = "internal"
    TOO_BUSY = "too_busy"
    UNAVAILABLE = "unavailable"
    VECTOR_STORE_UNAVAILABLE = "vector_store_unavailable"
    TEXT_TOWER_UNAVAILABLE = "text_tower_unavailable"
    STORAGE_FULL = "storage_full"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code stands for. ``detail`` is sent where the request gives nothing better; ``retry_after`` is seconds."""

    status: int
    title: str
    detail: str
    retry_after: int | None = None


# The one place that knows HTTP statuses of errors.
MEANINGS: Mapping[ProblemCode, Meaning] = {
    ProblemCode.BAD_REQUEST: Meaning(400, "Bad request", "The request could not be read."),
    ProblemCode.UNAUTHORIZED: Meaning(401, "Unauthorized", "A valid bearer token is needed."),
    ProblemCode.FORBIDDEN: Meaning(403, "Forbidden", "The token does not allow this."),
    ProblemCode.NOT_FOUND: Meaning(404, "Not found", "There is nothing at this address."),
    ProblemCode.JOB_NOT_FOUND: Meaning(404, "Job not found", "There is no such job."),
    ProblemCode.CROP_NOT_FOUND: Meaning(404, "Crop not found", "The job has no picture of such a face."),
    ProblemCode.POINT_NOT_FOUND: Meaning(404, "Point not found", "There is no vector for it in this collection."),
    ProblemCode.METHOD_NOT_ALLOWED: Meaning(405, "Method not allowed", "This address does not take that method."),
    ProblemCode.HEAD_TOO_SLOW: Meaning(408, "Head too slow", "The headers of the request did not arrive in time."),
    ProblemCode.BODY_TOO_SLOW: Meaning(408, "Body too slow", "The body did not arrive in time."),
    ProblemCode.UPLOAD_NOT_SUPPORTED: Meaning(
        409, "Upload not supported", "The configured media store takes no uploads; add the picture there."
    ),
    ProblemCode.TEXT_NOT_SUPPORTED: Meaning(
        409, "Text not supported", "The image model has no text tower: ask by a picture or a vector."
    ),
    ProblemCode.TEXT_TOWER_UNUSABLE: Meaning(
        409, "Text tower unusable", "The text tower is not on disk, or can't be used as it is."
    ),
    ProblemCode.BODY_TOO_LARGE: Meaning(413, "Body too large", "The body is larger than this address takes."),
    ProblemCode.UNSUPPORTED_MEDIA_TYPE: Meaning(
        415, "Unsupported media type", "The Content-Type is not the one that this address takes."
    ),
    ProblemCode.INVALID_REQUEST: Meaning(422, "Invalid request", "The request does not say what is wanted."),
    ProblemCode.UNKNOWN_TASK_TYPE: Meaning(422, "Unknown task type", "There is no such task type."),
    ProblemCode.IDEMPOTENCY_KEY_REUSED: Meaning(
        422, "Idempotency key reused", "This Idempotency-Key came with another request before."
    ),
    ProblemCode.UPLOAD_REFUSED: Meaning(422, "Upload refused", "The file is empty, or the store does not take it."),
    ProblemCode.QUEUE_FULL: Meaning(429, "Queue full", "As many jobs wait as may.", retry_after=10),
    ProblemCode.TOO_MANY_STREAMS: Meaning(
        429, "Too many streams", "This client has too many event streams open.", retry_after=5
    ),
    ProblemCode.HEAD_TOO_LARGE: Meaning(431, "Head too large", "The address and the headers are too large together."),
    ProblemCode.INTERNAL: Meaning(500, "Internal error", "Something went wrong here; the log says what."),
    ProblemCode.TOO_BUSY: Meaning(503, "Too busy", "Too many requests at once.", retry_after=1),
    ProblemCode.UNAVAILABLE: Meaning(503, "Unavailable", "The service can't answer now.", retry_after=5),
    ProblemCode.VECTOR_STORE_UNAVAILABLE: Meaning(
        503, "Vector store unavailable", "The vector store can't answer now.", retry_after=5
    ),
    ProblemCode.TEXT_TOWER_UNAVAILABLE: Meaning(
        503, "Text tower unavailable", "Texts can't be turned into vectors now.", retry_after=5
    ),
    ProblemCode.STORAGE_FULL: Meaning(503, "Storage full", "There is no room left to store this.", retry_after=60),
}

# What the framework itself may answer with.
_BY_STATUS = {
    400: ProblemCode.BAD_REQUEST,
    401: ProblemCode.UNAUTHORIZED,
    403: ProblemCode.FORBIDDEN,
    404: ProblemCode.NOT_FOUND,
    405: ProblemCode.METHOD_NOT_ALLOWED,
    413: ProblemCode.BODY_TOO_LARGE,
    415: ProblemCode.UNSUPPORTED_MEDIA_TYPE,
}


# What a store says when it is away.
_AWAY = {
    ErrorCode.VECTOR_STORE_UNAVAILABLE: ProblemCode.VECTOR_STORE_UNAVAILABLE,
    ErrorCode.STORAGE_FULL: ProblemCode.STORAGE_FULL,
}


_WITHOUT_VECTOR: Mapping[type[Exception], ProblemCode] = {
    NoTextTower: ProblemCode.TEXT_NOT_SUPPORTED,
    TextTowerUnusable: ProblemCode.TEXT_TOWER_UNUSABLE,
    TextEmbedderBusy: ProblemCode.TOO_BUSY,
    TextEmbedderAway: ProblemCode.TEXT_TOWER_UNAVAILABLE,
}


class Problem(HTTPException):
    """Ends a request with an error answer. ``detail`` is one sentence for whoever wrote the client."""

    def __init__(self, code: ProblemCode, detail: str | None = None) -> None:
        meaning = MEANINGS[code]
        super().__init__(meaning.status, detail or meaning.detail)
        self.code = code


class ProblemDocument(TypedDict):
    """An error (RFC 9457). ``detail`` is a sentence for people, ``code`` a word for programs."""

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, WithJsonSchema({"type": "string", "enum": list(ProblemCode)})]


def problem_document(code: ProblemCode, detail: str | None = None) -> ProblemDocument:
    """A code as clients see it."""
    meaning = MEANINGS[code]
    return {
        "type": f"/docs#{code}",
        "title": meaning.title,
        "status": meaning.status,
        "detail": detail or meaning.detail,
        "code": code,
    }


def problem_response(
    code: ProblemCode, detail: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer for a code."""
    content = problem_document(code, detail)
    return JSONResponse(content, MEANINGS[code].status, {**_headers(code), **(headers or {})}, MEDIA_TYPE)


def _headers(code: ProblemCode) -> dict[str, str]:
    retry_after = MEANINGS[code].retry_after
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    match code:
        case ProblemCode.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        case ProblemCode.BODY_TOO_SLOW:  # nobody waits for its rest
            headers["Connection"] = "close"
    return headers


async def answer_http_exception(_request: Request, error: Exception) -> JSONResponse:
    """Answers a `Problem`, or what the framework raised in its place."""
    if isinstance(error, Problem):
        return problem_response(error.code, error.detail)
    status = error.status_code if isinstance(error, StarletteHTTPException) else 500
    fallback = ProblemCode.BAD_REQUEST if 400 <= status < 500 else ProblemCode.INTERNAL
    headers = error.headers if isinstance(error, StarletteHTTPException) else None
    return problem_response(_BY_STATUS.get(status, fallback), headers=headers)


async def answer_job_error(_request: Request, error: Exception) -> JSONResponse:
    """Answers what a store raised: it is away (503), or it is our fault (500)."""
    log.warning("a request met an error", action="request_hit_error", error=str(error))
    if not isinstance(error, TransientError):
        return problem_response(ProblemCode.INTERNAL)
    wait = {} if error.retry_after is None else {"Retry-After": str(math.ceil(error.retry_after))}
    return problem_response(_AWAY.get(error.code, ProblemCode.UNAVAILABLE), headers=wait)


async def answer_text_not_embedded(_request: Request, error: Exception) -> JSONResponse:
    """Answers why a text has no vector; the error has the sentence for the client."""
    return problem_response(_WITHOUT_VECTOR.get(type(error), ProblemCode.INTERNAL), str(error))


async def answer_database_away(_request: Request, error: Exception) -> JSONResponse:
    """Answers that the database does not: 503, come back."""
    log.warning("the database is away", action="request_hit_error", error=str(error))
    return problem_response(ProblemCode.UNAVAILABLE)
