"""The outermost structure of a HEIF file."""

import io
import struct
from typing import BinaryIO

KNOWN_BOXES = {b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"idat", b"mpvd"}


def is_cut_off(file: BinaryIO) -> bool:
    """Whether a box ends behind the end of the file (ISO/IEC 14496-12, section 4.2).

    libheif paints the tiles that it does not find in one colour and says nothing, so half a photo would pass for one.
    """
    end = file.seek(0, io.SEEK_END)
    start = 0
    while start < end:
        size, kind = _box(file, start)
        if kind not in KNOWN_BOXES or size == 0:  # what phones append behind the last box, or a box that ends the file
            return False
        if start + size > end:
            return True
        start += max(size, 8)
    return False


def _box(file: BinaryIO, start: int) -> tuple[int, bytes]:
    file.seek(start)
    size, kind, large_size = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
    return (large_size if size == 1 else size), kind
