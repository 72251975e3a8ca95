"""The HTTP application."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response
from starlette.routing import compile_path

from media_inference.api import admin, events, health, jobs, many_jobs, media, metrics, search
from media_inference.api.admission import Admission, TurnAway
from media_inference.api.docs_page import docs_page
from media_inference.api.group_commit import GroupCommit, group_commit
from media_inference.api.head_requests import HeadRequests
from media_inference.api.health import PROBES
from media_inference.api.limits import BodyLimit
from media_inference.api.lines import Lines
from media_inference.api.openapi import openapi_document
from media_inference.api.problems import (
    answer_database_away,
    answer_http_exception,
    answer_job_error,
    answer_text_not_embedded,
)
from media_inference.api.request_log import RequestLog
from media_inference.api.security_headers import SecurityHeaders
from media_inference.api.services import Services
from media_inference.api.short_way import AnswerError, ShortWay
from media_inference.api.validation import answer_invalid_request
from media_inference.errors import DatabaseUnavailable, JobError, TextNotEmbedded

MOST_BODY_BYTES = 64 * 1024
MOST_BYTES_OF_MANY_JOBS = 1024 * 1024
_FORM_OVERHEAD = 64 * 1024
_UNLOGGED = PROBES | {"/metrics"}


class Application(FastAPI):
    """FastAPI with this service's own description of itself."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        if self.openapi_schema is None:
            services: Services = self.state.services
            self.openapi_schema = openapi_document(self.version, services.task_types, self.routes)
        return self.openapi_schema


def create_app(services: Services) -> FastAPI:
    """The application that serves ``services``."""
    answers: dict[int | type[Exception], AnswerError] = {
        JobError: answer_job_error,
        DatabaseUnavailable: answer_database_away,
        TextNotEmbedded: answer_text_not_embedded,
        405: _answer_wrong_method,
        HTTPException: answer_http_exception,
        StarletteHTTPException: answer_http_exception,
        RequestValidationError: answer_invalid_request,
    }
    app = Application(
        version=services.version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
        },  # else each request asks whether somebody wants it
        generate_unique_id_function=_operation_id,
        exception_handlers=answers,
    )
    app.state.services = services
    app.state.group_commit = submitting = group_commit(services)
    for module in (jobs, many_jobs, events, media, search, admin, health, metrics):
        app.include_router(module.router)
    app.add_api_route("/docs", _show_docs, include_in_schema=False, response_class=HTMLResponse)
    _add_layers(app, services, submitting, answers)
    return app


def _add_layers(
    app: FastAPI, services: Services, submitting: GroupCommit, answers: Mapping[int | type[Exception], AnswerError]
) -> None:
    upload = services.max_upload_bytes + _FORM_OVERHEAD
    lines = Lines(services.capacity, always=PROBES)
    (create_job,) = (route for route in jobs.router.routes if getattr(route, "endpoint", None) is jobs.create_job)
    # The last one added is the outermost.
    app.add_middleware(ShortWay, services=services, submitting=submitting, route=create_job, answers=answers)
    app.add_middleware(HeadRequests)
    app.add_middleware(Admission, lines=lines)
    app.add_middleware(
        BodyLimit,
        most_bytes=MOST_BODY_BYTES,
        by_path={"/media": upload, "/jobs": MOST_BYTES_OF_MANY_JOBS},
        streamed={"/media"},
        seconds=services.body_seconds,
        most_arriving=services.max_arriving,
    )
    app.add_middleware(RequestLog, unlogged=_UNLOGGED)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(TurnAway, lines=lines)


def _operation_id(route: APIRoute) -> str:
    return route.name


async def _show_docs(request: Request) -> HTMLResponse:
    return docs_page(request.app.openapi())


async def _answer_wrong_method(request: Request, error: Exception) -> Response:
    """405 with every method of the address: the router knows only those of the first route that fits."""
    response = await answer_http_exception(request, error)
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    allowed = {
        method.upper()
        for template, operations in paths.items()
        if compile_path(template)[0].match(request.url.path)
        for method in operations
    }
    if "GET" in allowed:
        allowed.add("HEAD")
    if allowed:
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response
