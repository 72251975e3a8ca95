"""Reports results and crops to the media store."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from media_inference.artifacts.store import ArtifactStore
from media_inference.errors import DependencyAway, ErrorCode, JobError, PermanentError, TransientError
from media_inference.failpoints import Failpoint, failpoint
from media_inference.jobs.retry import Backoff
from media_inference.media.store import ResultSink, ResultUpload
from media_inference.queue.sync import DueUpload, SyncRecords

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class UploadPublisher:
    """Uploads what is due, until the media store refuses it or ``max_age`` seconds have passed since it was due.

    It may arrive more than once: its `Idempotency-Key` is the job's id.
    """

    sync: SyncRecords
    sink: ResultSink
    artifacts: ArtifactStore
    max_age: float
    backoff: Backoff = field(default_factory=lambda: Backoff(first=1.0, longest=600.0))
    chance: Callable[[], float] = random.random

    def publish_some(self) -> int:
        """Uploads what has been due for longest and returns how many that were, one or none.

        Raises `DependencyAway` when the media store is away; what was not uploaded then is still due.
        """
        due = self.sync.due(limit=1)
        for upload in due:
            self._publish(upload)
        return len(due)

    def _publish(self, upload: DueUpload) -> None:
        try:
            failpoint(Failpoint.UPLOAD_BEFORE_SEND, upload.media_store_id)
            self.sink.upload(upload.media_store_id, self._content(upload))
            failpoint(Failpoint.UPLOAD_AFTER_SEND, upload.media_store_id)
        except DependencyAway as error:
            if upload.waiting_ms <= self.max_age * 1000:
                raise
            self._give_up(upload, error)
        except TransientError as error:
            self._try_again(upload, error)
        except JobError as error:
            self._give_up(upload, error)
        except Exception:  # of this upload alone: the others are not to wait behind it
            log.exception("upload.error", action="upload", job_id=upload.job_id)
            self._try_again(upload, TransientError(ErrorCode.INTERNAL, "an unexpected error; the log says which"))
        else:
            self.sync.synced(upload)
            failpoint(Failpoint.UPLOAD_AFTER_NOTE, upload.media_store_id)

    def _content(self, upload: DueUpload) -> ResultUpload:
        faces = range(upload.result.get("face_count", 0))
        return ResultUpload(
            job_id=upload.job_id,
            task_type=upload.task_type,
            model=upload.model,
            result=upload.result,
            crops=tuple((f"face_{index}", self._crop(upload.job_id, index)) for index in faces),
        )

    def _crop(self, job_id: str, index: int) -> Path:
        path = self.artifacts.path(job_id, f"faces/{index}.jpg")
        if path is None:
            raise PermanentError(ErrorCode.INTERNAL, "a crop is no longer there")
        return path

    def _try_again(self, upload: DueUpload, error: TransientError) -> None:
        delay = max(self.backoff.delay(upload.attempts + 1, self.chance()), error.retry_after or 0.0)
        if upload.waiting_ms + delay * 1000 > self.max_age * 1000:
            self._give_up(upload, error)
            return
        self.sync.retry(upload, error.message, delay)

    def _give_up(self, upload: DueUpload, error: JobError) -> None:
        log.warning("upload.failed", action="upload", job_id=upload.job_id, error=str(error))
        self.sync.fail(upload, error.message)
