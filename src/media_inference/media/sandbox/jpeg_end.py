"""Whether the data of a JPEG reach to the end of its picture."""

import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image

MARKER = re.compile(rb"\xff([\x01-\xfe])")
END_OF_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
ALONE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a segment (ITU T.81, table B.1)."""
ARITHMETIC = {0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
DATA = bytes(range(200))
PADDING = DATA + b"".join(bytes([0xFF, restart]) + DATA for restart in range(0xD0, 0xD8))
"""It has every restart marker, which a picture may be waiting for, and begins with a zero, which makes plain data even
of a lone 0xFF in front of it."""
GREY = range(126, 131)
EDGE = 8


def ends_early(image: Image.Image, file: BinaryIO) -> bool:
    """Whether ``image``, decoded from ``file``, is partly made up.

    libjpeg paints what is missing in mid-grey when a marker comes too early, and Pillow says nothing. So a picture that
    does not end in mid-grey is whole. In one that does, bytes are put before the markers: a decoder that has all its
    data leaves them alone, one that lacks some takes them for pixels.
    """
    if not _ends_in_grey(image):
        return False
    file.seek(0)
    content = file.read()
    return _coarse(content) != _coarse(_padded(content))


def _ends_in_grey(image: Image.Image) -> bool:
    corner = image.crop((max(0, image.width - EDGE), max(0, image.height - EDGE), image.width, image.height))
    if image.mode == "RGB":
        corner = corner.convert("L")  # colours are stored with fewer pixels, and blend with their neighbours'
    return set(corner.tobytes()) <= set(GREY)


def _coarse(content: bytes) -> bytes:
    """All pixels at an eighth of the size, which is quick."""
    with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
        image.draft(None, (1, 1))
        return image.tobytes()


def _padded(content: bytes) -> bytes:
    pieces, start = [], 0
    for end in _ends_of_scans(content):
        pieces += [content[start:end], PADDING]
        start = end
    return b"".join([*pieces, content[start:]])


def _ends_of_scans(content: bytes) -> Iterator[int]:
    """Where markers end the scans of the first picture; nowhere if its code may leave out its last bytes."""
    marker = MARKER.search(content, 2)
    while marker is not None and (kind := marker[1][0]) != END_OF_IMAGE and kind not in ARITHMETIC:
        at = marker.end() if kind in ALONE else marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2])
        if kind == START_OF_SCAN:
            end = END_OF_SCAN.search(content, at)
            at = end.start() if end else len(content)
            yield at
        marker = MARKER.search(content, at)
