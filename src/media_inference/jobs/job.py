"""A job: one task asked for on one media item."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from media_inference.errors import ErrorCode

MEDIA_STORE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""What a media_store_id looks like; match it whole (`fullmatch`)."""

LOWEST_PRIORITY, DEFAULT_PRIORITY, HIGHEST_PRIORITY = 0, 5, 10

JsonObject = dict[str, Any]


class JobStatus(StrEnum):
    """``completed`` means that what the result promises is there: vectors searchable, files on disk."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


FINISHED = (JobStatus.COMPLETED, JobStatus.FAILED)


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a client asks for."""

    task_type: str
    media_store_id: str
    priority: int = DEFAULT_PRIORITY


@dataclass(frozen=True, slots=True)
class JobFailure:
    """Why a job failed, as the client sees it. ``retryable``: posting the job again later may help."""

    code: ErrorCode
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Sync:
    """How the upload of a job's result to the media store stands. Times are milliseconds since 1970 UTC."""

    status: str
    attempts: int
    next_attempt_at: int | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands in the database. Times are integer milliseconds since 1970 UTC."""

    job_id: str
    task_type: str
    media_store_id: str
    status: JobStatus
    priority: int
    created_at: int
    started_at: int | None = None
    completed_at: int | None = None
    attempts: int = 0
    result: JsonObject | None = None
    error: JobFailure | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's authority over a job: whoever holds the lease token may settle it, nobody else."""

    job_id: str
    task_type: str
    media_store_id: str
    priority: int
    lease_token: str
    attempt: int
    """1 for the first attempt."""
    failures: int
    """Attempts that ended in a transient error so far."""
    releases: int = 0
    """Attempts that were given back uncharged so far."""
    alone: bool = False
    """Its worker may run nothing beside it: the one before died, and did not say over which of its jobs."""
