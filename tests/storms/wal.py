"""SQLite's write-ahead log as bytes: https://www.sqlite.org/fileformat2.html#walformat.

Frames of an older generation may follow those of the newest one; the salts tell them apart. Checksums are not looked
at: it is what SQLite does with torn frames that the power storm asks.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HEADER = 32
_FRAME_HEADER = 24


@dataclass(frozen=True, slots=True)
class Frame:
    """One page as a transaction left it, at the bytes ``start`` to ``end`` of the log; ``last`` of its transaction."""

    page: int
    last: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Place:
    """How far the log was written. Places of one generation, which the salts name, can be compared."""

    salts: bytes
    end: int


class Wal:
    """The frames of the newest generation, with those of a transaction that is not committed yet."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.page_size = struct.unpack_from(">I", content, 8)[0] if len(content) >= HEADER else 0
        self.salts = content[16:24]
        self.frames = list(self._frames()) if self.page_size else []
        self.place = Place(self.salts, self.frames[-1].end if self.frames else min(HEADER, len(content)))
        self.commits = [frame.end for frame in self.frames if frame.last]

    def after(self, frames: int) -> int:
        """The byte behind so many frames."""
        return HEADER + frames * (_FRAME_HEADER + self.page_size)

    def page(self, frame: Frame) -> bytes:
        """The content of a frame's page."""
        return self.content[frame.start + _FRAME_HEADER : frame.end]

    def _frames(self) -> Iterator[Frame]:
        size = _FRAME_HEADER + self.page_size
        count = (len(self.content) - HEADER) // size
        bodies = np.frombuffer(self.content, np.uint8, count * size, HEADER).reshape(count, size)
        other = np.flatnonzero((bodies[:, 8:16] != np.frombuffer(self.salts, np.uint8)).any(axis=1))
        for index in range(int(other[0]) if len(other) else count):
            start = HEADER + index * size
            page, pages_after_commit = struct.unpack_from(">II", self.content, start)
            yield Frame(page, pages_after_commit > 0, start, start + size)


def place_now(path: Path) -> Place:
    """How far a log is written at this moment; nothing that comes later lies before it."""
    return Wal(path.read_bytes() if path.exists() else b"").place
