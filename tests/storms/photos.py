"""Small photos whose outcome is known."""

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

_WIDTH = 160


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture's bytes. ``name`` tells it in messages; ``faces`` is how many the built-in detector finds."""

    name: str
    content: bytes
    faces: int


@cache
def photos(shared: Path) -> dict[str, Photo]:
    """Tiny photos with no, one, two, three or five faces, of ``../shared``: a job takes some hundredths of a second."""
    sources = {"two": ("obama_and_biden.jpg", 2), "one": ("obama_1_240p.jpg", 1), "none": ("rocket.jpg", 0)}
    small = {name: Photo(name, _small(shared / "photos" / file), faces) for name, (file, faces) in sources.items()}
    rows = {
        "three": Photo("three", _row(shared / "photos", "obama_and_biden", "obama_1"), 3),
        "five": Photo("five", _row(shared / "photos", "obama_and_biden", "obama_1", "biden_1", "obama_2"), 5),
    }
    return small | rows


def _small(path: Path) -> bytes:
    file = io.BytesIO()
    with Image.open(path) as image:
        height = round(_WIDTH * image.height / image.width)
        image.convert("RGB").resize((_WIDTH, height)).save(file, "JPEG", quality=90)
    return file.getvalue()


def _row(folder: Path, *names: str) -> bytes:
    """Pictures side by side, equally high."""
    tiles = []
    for name in names:
        with Image.open(folder / f"{name}.jpg") as image:
            tiles.append(image.convert("RGB").resize((round(_WIDTH * image.width / image.height), _WIDTH)))
    row = Image.new("RGB", (sum(tile.width for tile in tiles), _WIDTH))
    for index, tile in enumerate(tiles):
        row.paste(tile, (sum(before.width for before in tiles[:index]), 0))
    file = io.BytesIO()
    row.save(file, "JPEG", quality=90)
    return file.getvalue()


@cache
def large_photo(shared: Path) -> Photo:
    """Two people in 3 megapixels, as a small camera takes them."""
    file = io.BytesIO()
    with Image.open(shared / "photos" / "obama_and_biden.jpg") as image:
        image.convert("RGB").resize((2 * image.width, 2 * image.height)).save(file, "JPEG", quality=85)
    return Photo("large", file.getvalue(), 2)


@cache
def decoder_killer() -> Photo:
    """A few kilobytes that no decoder ends with: a progressive JPEG whose last scan comes ten thousand times."""
    file = io.BytesIO()
    Image.new("L", (4000, 4000), 128).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    scan = content[content.rindex(b"\xff\xda") : -2]
    return Photo("decoder_killer", content[:-2] + scan * 10_000 + content[-2:], 0)
