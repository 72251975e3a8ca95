"""Which photos the demo runs on."""

from dataclasses import dataclass
from pathlib import Path

from media_inference.errors import CannotStart

MOST_PHOTOS = 200
SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture file and the name that it is shown under."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Choice:
    """The photos to run on; ``left_out``: how many more there are."""

    photos: tuple[Photo, ...]
    left_out: int = 0


def photos_in(folder: Path, most: int = MOST_PHOTOS) -> Choice:
    """The picture files directly in ``folder``, told by their suffix, sorted by name; at most ``most``.

    Raises `CannotStart` when there is none.
    """
    try:
        found = sorted(path for path in folder.iterdir() if _is_picture(path))
    except OSError as error:
        raise CannotStart(f"{folder} can't be read: {error.strerror}") from error
    if not found:
        raise CannotStart(
            f"there are no pictures directly in {folder} (subfolders are not searched); "
            f"pictures end in {', '.join(sorted(SUFFIXES))}"
        )
    photos = tuple(Photo(printable(path.name), path) for path in found[:most])
    return Choice(photos, len(found) - len(photos))


def printable(text: str) -> str:
    """The text without characters that would steer a terminal or can't be encoded."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
