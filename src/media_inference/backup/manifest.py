"""What a backup says of itself, in `manifest.json`."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from media_inference.errors import CannotStart

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
DATABASE = "inference.db"
JOBS = "jobs"
MEDIA = "media"
KEYS = "keys"


class Manifest(BaseModel):
    """``revision``: of the database. ``created_at``: milliseconds since 1970 UTC; what was accepted before is in it.

    ``files`` of ``jobs``, and ``media`` items, have ``bytes`` in all. ``sums``: the SHA-256 of the list of hashes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    version: str
    revision: str
    created_at: int
    jobs: int
    files: int
    media: int
    bytes: int
    sums: str


def read_manifest(backup: Path) -> Manifest:
    """Raises `CannotStart` when this is not a whole backup."""
    try:
        return Manifest.model_validate_json((backup / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise CannotStart(f"{backup} is not a backup: it has no {MANIFEST}") from None
    except OSError as error:
        raise CannotStart(f"the backup {backup} can't be read: {error.strerror}") from None
    except ValidationError:
        raise damaged(backup, MANIFEST) from None


def damaged(backup: Path, name: str) -> CannotStart:
    """The error for a backup that is not what was written."""
    return CannotStart(f"the backup {backup} is damaged: {name} is not what was written; take another backup")
