"""Photos to finished jobs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from media_inference.demo.api_client import ApiClient, Json, Refused
from media_inference.demo.failure import DemoFailed
from media_inference.demo.photos import Photo, printable
from media_inference.demo.result import Failure, JobResult

TASK_TYPES = ("image_embedding", "face_detection", "face_embedding")

_FINISHED = {"completed", "failed"}
_ASKED_AT_ONCE = 32
_PAUSE = 0.1
_PATIENCE = 600.0


@dataclass(slots=True)
class Errand:
    """A photo on its way through the service. ``jobs``: the newest that is known of each, by task type."""

    photo: Photo
    media_store_id: str | None = None
    jobs: dict[str, Json] = field(default_factory=dict)
    refusals: dict[str, Failure] = field(default_factory=dict)

    def completed(self, task_type: str) -> Json | None:
        """The job of a task, if it completed."""
        job = self.jobs.get(task_type)
        return job if job is not None and job["status"] == "completed" else None

    def describe(self) -> tuple[JobResult, ...]:
        """How the jobs ended, or why there was none."""
        return tuple(
            _describe(self.jobs[task_type])
            if task_type in self.jobs
            else JobResult(task_type, "failed", failure=self.refusals.get(task_type))
            for task_type in TASK_TYPES
        )


def submit(client: ApiClient, photo: Photo) -> Errand:
    """Puts a photo into the media store and asks for all three tasks; what is refused is noted in the errand."""
    errand = Errand(photo)
    try:
        errand.media_store_id = client.upload(photo)
    except (Refused, OSError) as error:
        errand.refusals = dict.fromkeys(TASK_TYPES, _refusal(error))
        return errand
    for task_type in TASK_TYPES:
        try:
            job_id = client.submit(task_type, errand.media_store_id)
        except Refused as error:
            errand.refusals[task_type] = error.failure
        else:
            errand.jobs[task_type] = {"job_id": job_id, "task_type": task_type, "status": "pending"}
    return errand


def wait(client: ApiClient, errands: Sequence[Errand], on_finished: Callable[[], None]) -> None:
    """Asks for the jobs again and again until all have finished.

    Raises `DemoFailed` when none did for ten minutes.
    """
    waiting = [(errand, task_type) for errand in errands for task_type in errand.jobs]
    last_news = time.monotonic()
    while waiting:
        still_waiting = []
        for errand, task_type in waiting[:_ASKED_AT_ONCE]:
            errand.jobs[task_type] = client.job(errand.jobs[task_type]["job_id"])
            if errand.jobs[task_type]["status"] in _FINISHED:
                last_news = time.monotonic()
                on_finished()
            else:
                still_waiting.append((errand, task_type))
        waiting = still_waiting + waiting[_ASKED_AT_ONCE:]
        if time.monotonic() - last_news > _PATIENCE:
            raise DemoFailed(f"no job finished for {_PATIENCE:g} s; {len(waiting)} are left")
        if still_waiting:
            time.sleep(_PAUSE)


def _refusal(error: Refused | OSError) -> Failure:
    if isinstance(error, Refused):
        return error.failure
    return Failure("unreadable", f"the file can't be read: {error.strerror}")


def _describe(job: Json) -> JobResult:
    error = job.get("error")
    return JobResult(
        task_type=job["task_type"],
        status=job["status"],
        job_id=job["job_id"],
        waited_ms=_between(job, "created_at", "started_at"),
        worked_ms=_between(job, "started_at", "completed_at"),
        failure=Failure(error["code"], printable(error["message"])) if error else None,
    )


def _between(job: Json, first: str, last: str) -> int | None:
    return job[last] - job[first] if job.get(first) is not None and job.get(last) is not None else None
