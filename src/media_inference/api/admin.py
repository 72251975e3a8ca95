"""What an administrator sees and cleans up."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from media_inference.api.auth import admins_only
from media_inference.api.openapi import ends_in
from media_inference.api.problems import Problem, ProblemCode
from media_inference.api.schemas import CleanupQuery, CleanupReport, Statistics, SyncRestart
from media_inference.api.services import Services, Serving
from media_inference.errors import TransientError
from media_inference.jobs.job import JobStatus
from media_inference.vectors.store import COLLECTIONS

router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[admins_only])

_MS_PER_DAY = 24 * 60 * 60 * 1000


@router.get("/stats")
def get_statistics(services: Serving) -> Statistics:
    """The service in numbers."""
    counted = services.records.statistics()
    statistics: Statistics = {
        "jobs_by_status": {status: counted.jobs_by_status.get(status, 0) for status in JobStatus},
        "jobs_by_task_type": counted.jobs_by_task_type,
        "queue_depth": sum(counted.waiting_by_priority.values()),
        "queue_depth_by_priority": counted.waiting_by_priority,
        "oldest_waiting_ms": counted.oldest_waiting_ms,
        "unpublished": counted.unpublished,
        "vectors": {collection: _count(services, collection) for collection in COLLECTIONS},
        "bytes_stored": counted.artifact_bytes,
        "workers_alive": len(services.workers.alive()),
    }
    if services.sync is not None:
        statistics["sync"] = services.sync.counts()
    return statistics


@router.post("/sync/retry", responses=ends_in(ProblemCode.UPLOAD_NOT_SUPPORTED))
def retry_sync(services: Serving) -> SyncRestart:
    """Start the failed reports to the media store again."""
    if services.sync is None:
        raise Problem(ProblemCode.UPLOAD_NOT_SUPPORTED, "The configured media store takes no results.")
    return {"restarted": services.sync.restart_failed()}


@router.delete("/cleanup")
def clean_up(query: Annotated[CleanupQuery, Query()], services: Serving) -> CleanupReport:
    """Remove finished jobs and their files. Vectors belong to the pictures and stay."""

    def remove_files(job_ids: Sequence[str]) -> None:
        for job_id in job_ids:
            services.artifacts.remove(job_id)

    finished = services.records.clean_up(
        query.older_than_days * _MS_PER_DAY,
        [JobStatus(status) for status in query.status.split(",")],
        dry_run=query.dry_run,
        removed=remove_files,
    )
    return {"deleted_jobs": len(finished.job_ids), "deleted_files": finished.files, "freed_bytes": finished.bytes}


def _count(services: Services, collection: str) -> int | None:
    try:
        return services.vectors.count(collection)
    except TransientError:  # the other numbers are wanted most when something is away
        return None
