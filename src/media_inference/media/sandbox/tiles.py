"""Whether a JPEG 2000 file has all the tiles of its picture."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

START = b"\xff\x4f\xff\x51"
SIZES = struct.Struct(">4x4xIIIIIIII")
TILE = struct.Struct(">2s2xHI")


def lacks_tiles(file: BinaryIO) -> bool:
    """Whether a tile never comes (ITU T.800, annex A). OpenJPEG leaves its place black, and says nothing."""
    file.seek(0)
    content = file.read()
    start = content.index(START)
    right, bottom, _, _, width, height, left, top = SIZES.unpack_from(content, start)
    tiles: int = -(-(right - left) // width) * -(-(bottom - top) // height)
    return len({number for number in _numbers(content, start + 2) if number < tiles}) < tiles


def _numbers(content: bytes, at: int) -> Iterator[int]:
    """Of the tile that each part belongs to; parts say how long they are, and 0 stands for the rest of the file."""
    while content[at : at + 2] != b"\xff\x90" and at < len(content):
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
    while at + TILE.size <= len(content):
        mark, number, length = TILE.unpack_from(content, at)
        if mark != b"\xff\x90":
            return
        yield number
        at += length or len(content)
