"""Where pictures come from."""

from typing import BinaryIO, Protocol


class MediaStore(Protocol):
    """Media items by their media_store_id."""

    def fetch(self, media_store_id: str) -> bytes:
        """The bytes of one item, as they are stored.

        Raises `PermanentError` (`media_not_found`, `media_forbidden`, `image_too_large` past the byte limit) or
        `TransientError` (`media_unavailable`).
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
