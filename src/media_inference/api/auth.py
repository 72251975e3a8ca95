"""Who may use which route."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import structlog
from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from media_inference.api.problems import Problem, ProblemCode
from media_inference.api.services import Serving
from media_inference.api.tokens import Caller, TokenRefused

SUPPORT = "ai_inference_support"

log = structlog.get_logger(__name__)

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    bearerFormat="JWT",
    description="ES256 token with `sub`, `exp`, `permissions` (a list) and `is_admin`.",
)


# A coroutine, not a function for the thread pool: a signature is checked in less time than it takes to change threads.
async def identified(
    services: Serving, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller | None:
    """The caller; None when everybody may do all. A stranger gets 401 and is not told why, the log is."""
    try:
        return services.access.identify(None if credentials is None else credentials.credentials)
    except TokenRefused as refusal:
        log.info("token refused", action="token_refused", reason=str(refusal))
        raise Problem(ProblemCode.UNAUTHORIZED) from None


def _only(allowed: Callable[[Caller], bool], need: str) -> Callable[[Caller | None], Awaitable[None]]:
    async def check(caller: Annotated[Caller | None, Depends(identified)]) -> None:
        if caller is not None and not allowed(caller):
            raise Problem(ProblemCode.FORBIDDEN, f"This needs {need} in the token.")

    return check


supporters_only = Depends(_only(lambda caller: caller.may(SUPPORT), f"the permission {SUPPORT}"))
admins_only = Depends(_only(lambda caller: caller.is_admin, "is_admin: true"))
