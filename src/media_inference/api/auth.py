"""Who may use which route."""

from collections.abc import Callable
from typing import Annotated, Any

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from media_inference.api.caller import Caller
from media_inference.api.problems import Problem, ProblemCode
from media_inference.api.services import Serving
from media_inference.api.tokens import Access, TokenRefused

SUPPORT = "ai_inference_support"

log = structlog.get_logger(__name__)

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    bearerFormat="JWT",
    description="ES256 token with `sub`, `exp`, `permissions` (a list) and `is_admin`.",
)


def identify(access: Access, token: str | None) -> Caller | None:
    """The caller; None when everybody may do all. A stranger gets 401 and is not told why, the log is.

    Raises `Problem`.
    """
    try:
        return access.identify(token)
    except TokenRefused as refusal:
        log.info("token refused", action="token_refused", reason=refusal.reason, detail=str(refusal))
        raise Problem(ProblemCode.UNAUTHORIZED) from None


# A coroutine, not a function for the thread pool: a signature is checked in less time than it takes to change threads.
async def identified(
    request: Request,
    services: Serving,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller | None:
    """The caller, as `identify` says."""
    return identify(services.access, _token(request, credentials))


def _token(request: Request, credentials: HTTPAuthorizationCredentials | None) -> str | None:
    """The token that was sent. Two headers are one list (RFC 9110, 5.3), which is no token: a proxy in front of us may
    have looked at the other one.
    """
    sent = request.headers.getlist("authorization")
    if credentials is None or len(sent) == 1:
        return None if credentials is None else credentials.credentials
    return ", ".join(sent)


def require_support(caller: Caller | None) -> None:
    """Raises `Problem` unless the caller may ask for jobs."""
    _require(caller is None or caller.may(SUPPORT), f"the permission {SUPPORT}")


def _require_admin(caller: Caller | None) -> None:
    _require(caller is None or caller.is_admin, "is_admin: true")


def _require(allowed: bool, need: str) -> None:
    if not allowed:
        raise Problem(ProblemCode.FORBIDDEN, f"This needs {need} in the token.")


def _only(require: Callable[[Caller | None], None]) -> Any:
    async def check(caller: Annotated[Caller | None, Depends(identified)]) -> None:
        require(caller)

    return Depends(check)


supporters_only = _only(require_support)
admins_only = _only(_require_admin)
