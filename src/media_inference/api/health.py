"""Whether the service works, for people and for orchestrators."""

from typing import Any

import structlog
from fastapi import APIRouter, Response

from media_inference.api.openapi import ends_in
from media_inference.api.problems import Problem, ProblemCode
from media_inference.api.schemas import Alive, Health, Ready, Version
from media_inference.api.services import Check, Serving, Unwell
from media_inference.errors import DatabaseUnavailable, JobError

router = APIRouter(tags=["health"])

PROBES = frozenset({"/health", "/livez", "/readyz", "/version"})
"""Asked every few seconds by machines: never refused for load, and not logged."""

log = structlog.get_logger(__name__)


@router.get("/health", responses={503: {"model": Health, "description": "Something that it needs is broken."}})
def get_health(services: Serving, response: Response) -> Health:
    """Every check with its details."""
    checks = {name: _outcome(name, check) for name, check in services.checks.items()}
    healthy = all(check["status"] == "ok" for check in checks.values())
    response.status_code = 200 if healthy else 503
    return {"status": "healthy" if healthy else "unhealthy", "checks": checks}


@router.get("/livez")
async def get_liveness() -> Alive:
    """The process answers."""
    return {"status": "alive"}


@router.get("/readyz", responses=ends_in(ProblemCode.UNAVAILABLE))
def get_readiness(services: Serving) -> Ready:
    """The database answers, so jobs can be taken; other parts may be away, jobs wait for them."""

    def database() -> dict[str, Any]:
        services.records.check()
        return {}

    if _outcome("database", database)["status"] != "ok":
        raise Problem(ProblemCode.UNAVAILABLE)
    return {"status": "ready"}


@router.get("/version")
async def get_version(services: Serving) -> Version:
    """Which release this is."""
    return {"version": services.version}


def _outcome(name: str, check: Check) -> dict[str, Any]:
    try:
        return {**check(), "status": "ok"}
    except JobError as error:
        return {"status": "broken", "detail": error.message}
    except Unwell as error:
        since = {} if error.since is None else {"since": error.since}
        return {"status": "broken", "detail": error.message, **since}
    except DatabaseUnavailable as error:
        log.warning("a check failed", action="check_failed", check=name, error=str(error))
        return {"status": "broken", "detail": "the database does not answer"}
    except Exception:
        log.exception("a check failed", action="check_failed", check=name)
        return {"status": "broken", "detail": "the log says why"}
