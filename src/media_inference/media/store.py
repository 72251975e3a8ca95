"""Where pictures come from, and where results go back to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from media_inference.jobs.job import JsonObject


class MediaStore(Protocol):
    """Media items by their media_store_id."""

    def fetch(self, media_store_id: str) -> bytes:
        """The bytes of one item, as they are stored.

        Raises `PermanentError` (`media_not_found`, `media_forbidden`, `image_too_large` past the byte limit),
        `DependencyAway` (``media_store``) while the store itself is away, or `TransientError` (`media_unavailable`).
        """
        ...

    def check(self) -> None:
        """Raises `TransientError` (`media_unavailable`) when the store can't be reached."""
        ...

    def close(self) -> None:
        """Lets connections go."""
        ...


class MediaInbox(Protocol):
    """A media store that also takes new items: the built-in folder."""

    def add(self, source: BinaryIO) -> str:
        """Stores a picture durably and returns its new id (the next integer).

        Raises `UploadRefused` for an empty or too large file and `TransientError` (`storage_full`,
        `media_unavailable`).
        """
        ...


@dataclass(frozen=True, slots=True)
class ResultUpload:
    """What a job found out about an item. ``crops``: pairs of a part's name (``face_0``) and the path of its JPEG."""

    job_id: str
    task_type: str
    model: str | None
    result: JsonObject
    crops: Sequence[tuple[str, Path]] = ()


class ResultSink(Protocol):
    """A media store that takes results back."""

    def upload(self, media_store_id: str, upload: ResultUpload) -> None:
        """Hands over what a job found out about this item; the same job may be handed over again.

        Raises `PermanentError` (`media_forbidden`, `media_not_found`, `upload_rejected`; `internal` when a crop is no
        longer there), `DependencyAway` (``media_store``) while the store itself is away, or `TransientError`
        (`media_unavailable`).
        """
        ...

    def check(self) -> None:
        """Raises `TransientError` (`media_unavailable`) when the store can't be reached."""
        ...

    def close(self) -> None:
        """Lets connections go."""
        ...
