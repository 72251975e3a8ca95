"""The sizes that a file states, read without any library: what a damaged file that decodes must agree with."""

import re
import struct
from collections.abc import Callable, Iterator

from tests.corpus.case import Size

FRAME_HEADER = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]...(....)", re.DOTALL)
TIFF_NUMBERS = {1: "B", 3: "H", 4: "I"}


def stated_sizes(content: bytes) -> frozenset[Size]:
    """Every size that stands anywhere where this format has one, both ways round: EXIF data may turn it."""
    reader = READERS.get(_kind(content))
    found = set(reader(content)) if reader else set()
    return frozenset(found | {(height, width) for width, height in found})


def _kind(content: bytes) -> str:
    kinds = {b"\xff\xd8": "jpeg", b"\x89P": "png", b"GI": "gif", b"BM": "bmp", b"II": "tiff", b"MM": "tiff"}
    kinds |= {b"RI": "webp", b"\0\0": "boxes", b"\xff\x4f": "boxes"}
    return kinds.get(content[:2], "")


def _jpeg(content: bytes) -> Iterator[Size]:
    for match in FRAME_HEADER.finditer(content):
        height, width = struct.unpack(">HH", match[1])
        yield width, height


def _png(content: bytes) -> Iterator[Size]:
    for at in _places(content, b"IHDR", 8):
        width, height = struct.unpack_from(">II", content, at)
        yield width, height


def _gif(content: bytes) -> Iterator[Size]:
    """The canvas, made larger by a first frame that does not fit, as browsers do."""
    width, height = struct.unpack_from("<HH", content.ljust(10, b"\0"), 6)
    yield width, height
    for at in _places(content, b"\0\x2c", 8):
        left, top, across, down = struct.unpack_from("<HHHH", content, at)
        yield max(width, left + across), max(height, top + down)


def _bmp(content: bytes) -> Iterator[Size]:
    if len(content) >= 26:
        head, width, height = struct.unpack_from("<Iii", content, 14)
        narrow_width, narrow_height = struct.unpack_from("<HH", content, 18)
        yield (narrow_width, narrow_height) if head == 12 else (width, abs(height))


def _tiff(content: bytes) -> Iterator[Size]:
    """Tags 256 and 257, which are neighbours, of any directory."""
    order = "<" if content[:2] == b"II" else ">"
    mark = struct.pack(f"{order}H", 256)
    for at in _places(content, mark, 22):
        if content[at + 10 : at + 12] == struct.pack(f"{order}H", 257):
            width, height = _tagged(content, order, at), _tagged(content, order, at + 12)
            yield width, height


def _tagged(content: bytes, order: str, at: int) -> int:
    """The number of an entry whose type is at ``at``; 0 if it is of no whole type."""
    form = TIFF_NUMBERS.get(struct.unpack_from(f"{order}H", content, at)[0])
    return int(struct.unpack_from(order + form, content, at + 6)[0]) if form else 0


def _webp(content: bytes) -> Iterator[Size]:
    for at in _places(content, b"VP8X", 14):
        width, height = (int.from_bytes(content[at + i : at + i + 3], "little") + 1 for i in (8, 11))
        yield width, height
    for at in _places(content, b"\x9d\x01\x2a", 4):
        width, height = struct.unpack_from("<HH", content, at)
        yield width & 0x3FFF, height & 0x3FFF
    for at in _places(content, b"VP8L", 9):
        bits = int.from_bytes(content[at + 5 : at + 9], "little")
        yield (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _boxes(content: bytes) -> Iterator[Size]:
    """`ispe` of HEIF and AVIF, `ihdr` and SIZ of JPEG 2000."""
    for at in _places(content, b"ispe", 12):
        width, height = struct.unpack_from(">II", content, at + 4)
        yield width, height
    for at in _places(content, b"ihdr", 8):
        height, width = struct.unpack_from(">II", content, at)
        yield width, height
    for at in _places(content, b"\xff\x51", 20):
        right, bottom, left, top = struct.unpack_from(">IIII", content, at + 4)
        yield right - left, bottom - top


def _places(content: bytes, mark: bytes, room: int) -> Iterator[int]:
    """Where something stands behind ``mark``, with ``room`` bytes to read."""
    for match in re.finditer(re.escape(mark), content):
        if match.end() + room <= len(content):
            yield match.end()


READERS: dict[str, Callable[[bytes], Iterator[Size]]] = {
    "jpeg": _jpeg,
    "png": _png,
    "gif": _gif,
    "bmp": _bmp,
    "tiff": _tiff,
    "webp": _webp,
    "boxes": _boxes,
}
