"""Building blocks of picture files, to be put together wrongly."""

import struct
import zlib
from collections.abc import Mapping, Sequence

PNG = b"\x89PNG\r\n\x1a\n"
JPEG_END = b"\xff\xd9"


def png_chunk(kind: bytes, content: bytes, *, length: int | None = None, checksum: int | None = None) -> bytes:
    """A chunk (PNG, section 5.3); ``length`` and ``checksum`` may lie."""
    told = len(content) if length is None else length
    summed = zlib.crc32(kind + content) if checksum is None else checksum
    return struct.pack(">I", told) + kind + content + struct.pack(">I", summed)


def png_head(width: int, height: int, *, bits: int = 8, colour: int = 2, interlaced: int = 0) -> bytes:
    """The signature and IHDR; colour 0 is grey, 2 RGB, 3 a palette, 4 grey with alpha, 6 RGB with alpha."""
    return PNG + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))


def png(
    width: int,
    height: int,
    rows: bytes | None = None,
    *,
    extra: bytes = b"",
    behind: bytes = b"",
    bits: int = 8,
    colour: int = 2,
    interlaced: int = 0,
) -> bytes:
    """A PNG: black if ``rows`` (filter bytes included) are left out; more chunks before and behind its pixels."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    raw = bytes((1 + (width * samples * bits + 7) // 8) * height) if rows is None else rows
    head = png_head(width, height, bits=bits, colour=colour, interlaced=interlaced)
    return head + extra + png_chunk(b"IDAT", zlib.compress(raw, 9)) + behind + png_chunk(b"IEND", b"")


def zeros(size: int) -> bytes:
    """``size`` zero bytes, deflated to a thousandth, without ever holding them; whole megabytes, or fewer bytes."""
    deflate, block = zlib.compressobj(9, wbits=-15), bytes(min(size, 1 << 20))
    repeated = (deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)) * (size // len(block))
    checksum = (size % 65_521) << 16 | 1  # Adler-32 of zeros (RFC 1950)
    return b"\x78\xda" + repeated + deflate.flush() + struct.pack(">I", checksum)


def jpeg_segment(marker: int, content: bytes, *, length: int | None = None) -> bytes:
    """A marker segment (ITU T.81, B.1.1.4); ``length`` may lie."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2 if length is None else length) + content


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """A JPEG with more segments behind its first two bytes."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def exif(tiff: bytes) -> bytes:
    """An APP1 segment with EXIF data."""
    return jpeg_segment(0xE1, b"Exif\0\0" + tiff)


Entry = tuple[int, int, int, int]
"""Of a TIFF directory: tag, type (3 is 16 bits, 4 is 32), count, and a value or the place of many."""


def tiff_directory(entries: Sequence[Entry], following: int = 0) -> bytes:
    """A little-endian IFD (TIFF 6.0, section 2) and the place of the one that follows."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", following)


def tiff(entries: Mapping[int, int], *, strip: bytes = b"", following: int = 0, more: Sequence[Entry] = ()) -> bytes:
    """A little-endian TIFF: header, strip, directory. ``entries`` are 32-bit values by tag."""
    at = 8 + len(strip)
    rows: list[Entry] = [(tag, 4, 1, value) for tag, value in entries.items()]
    return b"II*\0" + struct.pack("<I", at) + strip + tiff_directory(sorted([*rows, *more]), following)


def grey_tiff(width: int, height: int, **changed: int) -> dict[int, int]:
    """The directory of an 8-bit grey TIFF with one strip at byte 8; ``t279=5`` changes a tag."""
    plain = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: width * height}
    return plain | {int(name[1:]): value for name, value in changed.items()}


def bmp(width: int, height: int, pixels: bytes, *, bits: int = 24, method: int = 0, colours: int = 0) -> bytes:
    """A BMP with BITMAPINFOHEADER; ``method`` 1 and 2 are run lengths."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, method, len(pixels), 0, 0, colours, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54) + head + pixels


def gif_head(width: int, height: int, palette: bytes = b"\0\0\0\xff\xff\xff") -> bytes:
    """Signature, screen and palette (GIF89a, section 18); a palette has 2, 4, 8… colours."""
    flags = 0x80 | ((len(palette) // 3).bit_length() - 2) if palette else 0
    return b"GIF89a" + struct.pack("<HHBBB", width, height, flags, 0, 0) + palette


PIXEL = b"\x02\x02\x44\x01\x00"
"""One pixel, compressed: clear, 0, end."""


def gif_frame(width: int = 1, height: int = 1, *, left: int = 0, top: int = 0, data: bytes = PIXEL) -> bytes:
    """A frame that shows at once."""
    return b"\x21\xf9\x04\0\x01\0\0\0" + b"\x2c" + struct.pack("<HHHHB", left, top, width, height, 0) + data


def riff(*chunks: tuple[bytes, bytes], told: int | None = None) -> bytes:
    """A WebP of these chunks; ``told`` is what it says of its own length."""
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2) for name, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) if told is None else told) + body


def vp8x(width: int, height: int, flags: int) -> tuple[bytes, bytes]:
    """The chunk of an extended WebP with the size of its canvas; flag 2 is an animation, 0x20 a profile."""
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", bytes([flags, 0, 0, 0]) + sides


def box(kind: bytes, *contents: bytes, told: int | None = None) -> bytes:
    """A box of HEIF, AVIF or JPEG 2000 (ISO/IEC 14496-12, 4.2); ``told`` is what it says of its own length."""
    content = b"".join(contents)
    return struct.pack(">I", len(content) + 8 if told is None else told) + kind + content
