"""Sample pictures for trying the service out: every id has one, always the same."""

import hashlib
import math
import struct
import zlib
from collections.abc import Iterator

from media_inference.errors import ErrorCode, PermanentError
from media_inference.jobs.job import MEDIA_STORE_ID
from media_inference.media.store_kind import StoreKind, StoreOptions

WIDTH, HEIGHT = 640, 480
SUNS, HILLS = 3, 5

Colour = tuple[int, int, int]
Rows = list[bytearray]


class StubStore:
    """Paints a landscape from the id: a sky, suns and round hills. All in integers, so it is the same everywhere."""

    def fetch(self, media_store_id: str) -> bytes:
        """See `MediaStore.fetch`: a PNG of 640 x 480 pixels."""
        if not MEDIA_STORE_ID.fullmatch(media_store_id):
            raise PermanentError(ErrorCode.MEDIA_NOT_FOUND, "the media store has no such item")
        return _png(_landscape(iter(hashlib.shake_256(media_store_id.encode()).digest(64))))

    def check(self) -> None:
        """Always there."""

    def close(self) -> None:
        """Nothing is held open."""


def _landscape(seed: Iterator[int]) -> Rows:
    dawn, dusk, earth = _colour(seed), _colour(seed), _colour(seed)
    rows = [bytearray(bytes(_mix(dawn, dusk, y * 256 // HEIGHT)) * WIDTH) for y in range(HEIGHT)]
    for _ in range(SUNS):
        _disc(rows, next(seed) * WIDTH // 256, next(seed) * HEIGHT // 512, 16 + next(seed) // 4, _colour(seed))
    for hill in range(HILLS):
        radius = 160 + next(seed)
        x, y = next(seed) * WIDTH // 256, HEIGHT * 3 // 4 + radius - 40 * (HILLS - 1 - hill) + next(seed) // 8
        _disc(rows, x, y, radius, _mix(earth, dusk, 224 * (HILLS - 1 - hill) // HILLS))
    return rows


def _disc(rows: Rows, x: int, y: int, radius: int, colour: Colour) -> None:
    for row in range(max(0, y - radius), min(HEIGHT, y + radius)):
        half = math.isqrt(radius * radius - (row - y) * (row - y))
        left, right = max(0, x - half), min(WIDTH, x + half)
        shade = _mix(colour, (0, 0, 0), (row - y + radius) * 96 // (2 * radius))
        rows[row][3 * left : 3 * right] = bytes(shade) * (right - left)


def _colour(seed: Iterator[int]) -> Colour:
    return 48 + next(seed) * 3 // 4, 48 + next(seed) * 3 // 4, 48 + next(seed) * 3 // 4


def _mix(one: Colour, other: Colour, share: int) -> Colour:
    """``share`` of 256 parts of the other colour, the rest of the one."""
    red, green, blue = ((a * (256 - share) + b * share) // 256 for a, b in zip(one, other, strict=True))
    return red, green, blue


def _png(rows: Rows) -> bytes:
    """W3C PNG, third edition: 8-bit RGB, each row behind filter type 0."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 6)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _open(_: StoreOptions) -> StubStore:
    return StubStore()


STUB = StoreKind("stub", _open)
