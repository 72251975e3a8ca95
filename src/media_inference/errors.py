"""Every error that this service raises on purpose.

::

    MediaInferenceError
    ├── CannotStart                  one line for the operator, exit code 3
    │   └── StoreInUse               another process holds the embedded vector store
    ├── DatabaseUnavailable          the database does not answer; nothing is lost, it is asked again
    │   └── DatabaseFull             it answers, but has no room; a TransientError too, for the code `storage_full`
    ├── KeyReused                    an Idempotency-Key that came with another request before
    ├── QueueFull                    as many jobs wait as may
    ├── UploadRefused                a file that the media store does not take
    ├── TextNotEmbedded              a text has no vector, so it can't be searched by
    │   ├── NoTextTower              the image model knows no texts
    │   ├── TextTowerUnusable        the tower is not on disk, or can't be used as it is
    │   ├── TextEmbedderBusy         too many texts wait already
    │   └── TextEmbedderAway         its process died or is too slow; a later try may succeed
    ├── DownloadFailed               a model's file could not be had from the hub
    │   ├── DownloadInterrupted      it broke off or came to a standstill; what came is kept, and continued
    │   └── HubUnreachable           the hub does not answer at all
    └── JobError                     ends an attempt at a job; `code` is what the client sees
        ├── PermanentError           trying again would end the same way: the job fails at once
        └── TransientError           may pass: the job is retried, and fails when its retries are spent
            └── DependencyAway       a whole dependency is away: the job waits, uncharged

The family alone decides about a retry; the code alone tells the client why. Errors of libraries are turned into these
where the library is called, so nothing above a port knows whose error it was.
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    """The closed list of codes in a failed job's ``error.code``; docs/errors.md explains each."""

    MEDIA_NOT_FOUND = "media_not_found"
    MEDIA_FORBIDDEN = "media_forbidden"
    MEDIA_UNAVAILABLE = "media_unavailable"
    UNSUPPORTED_FORMAT = "unsupported_format"
    IMAGE_CORRUPT = "image_corrupt"
    IMAGE_TOO_LARGE = "image_too_large"
    DECODER_CRASHED = "decoder_crashed"
    WORKER_CRASHED = "worker_crashed"
    MODEL_UNAVAILABLE = "model_unavailable"
    UPLOAD_REJECTED = "upload_rejected"
    VECTOR_STORE_UNAVAILABLE = "vector_store_unavailable"
    STORAGE_FULL = "storage_full"
    INTERNAL = "internal"


class Dependency(StrEnum):
    """What the service needs of others, by its name in `/health` and in the table of outages."""

    MEDIA_STORE = "media_store"
    VECTOR_STORE = "vector_store"
    STORAGE = "storage"


class MediaInferenceError(Exception):
    """Root of the tree above."""


class CannotStart(MediaInferenceError):
    """A process can't start as it is set up. The message says what is wrong and how to mend it, in one line."""


class StoreInUse(CannotStart):
    """The embedded vector store is open in another process, and only one may have it."""


class DatabaseUnavailable(MediaInferenceError):
    """The database can't be read or written now: locked for too long, gone, or without its tables."""


class KeyReused(MediaInferenceError):
    """An `Idempotency-Key` came with another request before; one key stands for one request."""


class QueueFull(MediaInferenceError):
    """As many jobs wait to be claimed as may; there is room again when workers have claimed some."""


class UploadRefused(MediaInferenceError):
    """The built-in media store does not take a file: empty, or larger than its limit."""


class TextNotEmbedded(MediaInferenceError):
    """A text has no vector. The message is a sentence for clients: it names no path."""


class NoTextTower(TextNotEmbedded):
    """The image model has no text tower: its vectors can't be compared with those of texts."""


class TextTowerUnusable(TextNotEmbedded):
    """The text tower is not on disk, or can't be used as it is. It stops nothing but searches by text."""


class TextEmbedderBusy(TextNotEmbedded):
    """As many texts wait for their vectors as may."""


class TextEmbedderAway(TextNotEmbedded):
    """The process that embeds texts died, is still starting or did not answer in time."""


class DownloadFailed(MediaInferenceError):
    """A model's file could not be had from the hub, or is not the pinned one. The message is one line."""


class DownloadInterrupted(DownloadFailed):
    """The connection to the hub was lost, or the hub is overloaded; the next try goes on where this one ended.

    ``retry_after``: seconds that the hub asked to be left alone, 0 if it did not.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class HubUnreachable(DownloadFailed):
    """The hub does not answer: no network, a wrong ``HF_ENDPOINT``, or ``HF_HUB_OFFLINE`` is set."""


class JobError(MediaInferenceError):
    """Ends one attempt at a job.

    ``message`` goes to clients: it names neither paths nor addresses of the service nor values of its settings.
    """

    retryable: bool

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class PermanentError(JobError):
    """The same input would fail again."""

    retryable = False


class TransientError(JobError):
    """A later attempt may succeed. ``retry_after``: seconds that the other side asked to be left alone, if it did."""

    retryable = True

    def __init__(self, code: ErrorCode, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(code, message)
        self.retry_after = retry_after


class DatabaseFull(TransientError, DatabaseUnavailable):
    """The database can't be written because its disk is full: it is asked again, as one that does not answer."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.STORAGE_FULL, "there is no room left for the database")


class DependencyAway(TransientError):
    """The whole dependency is away: nothing was wrong with this job, and it waits uncharged until it is back."""

    def __init__(
        self, dependency: Dependency, code: ErrorCode, message: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(code, message, retry_after=retry_after)
        self.dependency = dependency
