"""Headers that lie about sizes, depths, counts and places."""

import struct
from collections.abc import Iterator

from tests.corpus.case import CORRUPT, REFUSED, TOO_LARGE, UNSUPPORTED, BadFile
from tests.corpus.good import HEIGHT, WIDTH, generated
from tests.corpus.parts import (
    bmp,
    box,
    gif_frame,
    gif_head,
    grey_tiff,
    jpeg_segment,
    png,
    png_head,
    riff,
    tiff,
    vp8x,
    with_segments,
)

SIDES = ((0, 0), (0, 9), (9, 0), (1, 65_535), (65_535, 1), (65_535, 65_535), (40_000, 40_000), (20_000, 4_000))
WORDS = (0, 1, 2, 7, 255, 256, 32_768, 65_535)
LONGS = (0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)


def headers() -> Iterator[BadFile]:
    """Every format, saying that it has sides that it has not; and what else stands in a header."""
    for width, height in SIDES:
        codes = TOO_LARGE if width * height > 100_000_000 else CORRUPT
        for name, content in _of_size(width, height):
            sizes = frozenset({(width, height)}) if name == "avif" else frozenset()  # made larger: no part is missing
            either = CORRUPT | codes if name in {"avif", "heif", "png without pixels"} else codes
            yield BadFile("header", f"{name} says {width} x {height}", content, either, sizes)
    yield from _pngs()
    yield from _jpegs()
    yield from _tiffs()
    yield from _bmps()
    yield from _gifs()
    yield from _boxed()


def _of_size(width: int, height: int) -> Iterator[tuple[str, bytes]]:
    """Files of another size whose headers say this one; too little is behind them."""
    yield "png", png(width, height, bytes(9))
    yield "png without pixels", png_head(width, height)
    yield "jpeg", _patched("jpeg-baseline", b"\xff\xc0", 5, struct.pack(">HH", height, width))
    yield "jpeg, progressive", _patched("jpeg-progressive", b"\xff\xc2", 5, struct.pack(">HH", height, width))
    yield "bmp", bmp(width, height, bytes(40))
    yield "bmp, upside down", bmp(width, -height, bytes(40))
    yield "tiff", tiff(grey_tiff(width, height), strip=bytes(40))
    yield "tiff, compressed", tiff(grey_tiff(width, height, t259=5, t279=40), strip=bytes(40))
    yield "tiff, fax", tiff(grey_tiff(width, height, t258=1, t259=4, t279=40), strip=bytes(40))
    yield "jpeg 2000", _patched("jpeg2000-stream", b"\xff\x51", 6, struct.pack(">II", width, height))
    yield "heif", _of_shared_size("heic", width, height)
    yield "avif", _patched("avif-still", b"ispe", 8, struct.pack(">II", width, height))
    if width and height:
        yield "webp, extended", riff(vp8x(width, height, 0), (b"VP8 ", bytes(30)))
        yield "webp, animated", riff(vp8x(width, height, 2), (b"ANIM", bytes(6)), (b"ANMF", bytes(30)))
    if width * height > 100_000_000:
        yield "gif", gif_head(width, height) + gif_frame() + b";"


def _of_shared_size(brand: str, width: int, height: int) -> bytes:
    """A HEIF of one item whose stream is missing."""
    size = box(b"ispe", bytes(4), struct.pack(">II", width, height))
    properties = box(b"iprp", box(b"ipco", size), box(b"ipma", bytes(4), struct.pack(">IHBB", 1, 1, 1, 1)))
    item = box(b"infe", b"\x02\0\0\0", struct.pack(">HH", 1, 0), b"hvc1\0")
    meta = box(
        b"meta",
        bytes(4),
        box(b"hdlr", bytes(8), b"pict", bytes(13)),
        box(b"pitm", bytes(4), b"\0\1"),
        box(b"iinf", bytes(4), b"\0\1", item),
        properties,
    )
    return box(b"ftyp", brand.encode(), bytes(4), b"mif1", brand.encode()) + meta


def _patched(name: str, mark: bytes, ahead: int, value: bytes) -> bytes:
    """A generated file with other bytes so far from the first ``mark``."""
    content = generated()[name]
    at = content.index(mark) + ahead
    return content[:at] + value + content[at + len(value) :]


def _lie(name: str, content: bytes, *sizes: tuple[int, int]) -> BadFile:
    return BadFile("header", name, content, REFUSED, frozenset(sizes))


def _pngs() -> Iterator[BadFile]:
    for bits in (0, 1, 2, 4, 8, 16, 32, 255):
        for colour in (0, 1, 2, 3, 4, 6, 7, 255):
            yield _lie(f"png of colour {colour} with {bits} bits", png(8, 8, bits=bits, colour=colour), (8, 8))
    for interlaced in (1, 2, 255):
        yield _lie(f"png interlaced in way {interlaced}", png(8, 8, interlaced=interlaced), (8, 8))
    for length in LONGS:
        lying = struct.pack(">I", length)
        yield _lie(f"png whose IDAT says {length} bytes", _patched("png-rgb", b"IDAT", -4, lying), (WIDTH, HEIGHT))
        yield _lie(f"png whose IHDR says {length} bytes", _patched("png-rgb", b"IHDR", -4, lying))
        frames = _patched("png-animated", b"acTL", 4, lying)
        yield _lie(f"png of {length} frames", frames, (WIDTH, HEIGHT))
    rows = bytes(25 * 4)
    yield BadFile("header", "png whose pixels end in the middle", png(8, 8, rows), CORRUPT)
    yield BadFile("header", "png whose pixels end before the last one", png(8, 8, bytes(25 * 8 - 1)), CORRUPT)


def _jpegs() -> Iterator[BadFile]:
    good, size = generated()["jpeg-baseline"], (WIDTH, HEIGHT)
    for length in WORDS:
        yield _lie(
            f"jpeg with a segment of {length} bytes", with_segments(good, jpeg_segment(0xE1, b"", length=length)), size
        )
        yield _lie(
            f"jpeg restarting every {length} blocks",
            with_segments(good, jpeg_segment(0xDD, struct.pack(">H", length))),
            size,
        )
    for components in (0, 1, 2, 3, 5, 255):
        yield _lie(
            f"jpeg of {components} components", _patched("jpeg-baseline", b"\xff\xc0", 9, bytes([components])), size
        )
    for bits in (0, 1, 7, 12, 16, 255):
        yield _lie(f"jpeg of {bits} bits", _patched("jpeg-baseline", b"\xff\xc0", 4, bytes([bits])), size)
    for sampling in (0x00, 0x14, 0x41, 0x44, 0xFF):
        yield _lie(f"jpeg sampled {sampling:02x}", _patched("jpeg-baseline", b"\xff\xc0", 11, bytes([sampling])), size)
    for kind in (0xC1, 0xC3, 0xC5, 0xC7, 0xC9, 0xCA, 0xCB, 0xCF):
        yield _lie(f"jpeg of kind {kind:02x}", _patched("jpeg-baseline", b"\xff\xc0", 1, bytes([kind])), size)
    for mark in (b"\xff\xdb", b"\xff\xc4"):
        yield _lie(f"jpeg without a first {mark.hex()}", _patched("jpeg-baseline", mark, 1, b"\xec"), size)
    for name in ("jpeg-baseline", "jpeg-grey", "jpeg-cmyk", "jpeg-restarts"):
        whole = generated()[name]
        for percent in range(30, 100):
            part = whole[: len(whole) * percent // 100] + b"\xff\xd9"
            yield BadFile("header", f"{name} ended at {percent} % as if it were whole", part, CORRUPT)
    whole = generated()["jpeg-progressive"]
    yield BadFile(
        "header", "jpeg-progressive ended in its first scan", whole[: _first_scan(whole)] + b"\xff\xd9", CORRUPT
    )
    coarse = whole[: whole.rindex(b"\xff\xda")] + b"\xff\xd9"
    yield BadFile("header", "jpeg-progressive without its last scan", coarse, sizes=frozenset({size}))


def _first_scan(content: bytes) -> int:
    """The middle of it."""
    start = content.index(b"\xff\xda")
    return (start + content.index(b"\xff\xc4", start)) // 2


def _tiffs() -> Iterator[BadFile]:
    for tag in (258, 259, 262, 266, 274, 277, 278, 279, 273, 284, 317, 322, 323, 338, 339):
        for value in (*WORDS, 0x7FFF_FFFF, 0xFFFF_FFFF):
            plain = grey_tiff(8, 8) | {tag: value}
            yield _lie(f"tiff with {value} in tag {tag}", tiff(plain, strip=bytes(64)), (8, 8))
    for kind in (0, 2, 5, 12, 13, 16, 99):
        for count in (0, 2, 0xFFFF, 0xFFFF_FFFF):
            more = [(256, kind, count, 8)]
            plain = {tag: value for tag, value in grey_tiff(8, 8).items() if tag != 256}
            yield _lie(f"tiff whose width is {count} of type {kind}", tiff(plain, strip=bytes(64), more=more), (8, 8))
    short = grey_tiff(8, 8, t278=2, t279=16)
    yield BadFile("header", "tiff of four strips that has one", tiff(short, strip=bytes(64)), CORRUPT)
    yield BadFile("header", "tiff without a directory", b"II*\0" + struct.pack("<I", 0xFFFF_FFF0), CORRUPT)
    yield BadFile("header", "bigtiff without a directory", b"II+\0\x08\0\0\0" + b"\xff" * 8, CORRUPT)


def _bmps() -> Iterator[BadFile]:
    for bits in (0, 1, 2, 3, 4, 8, 15, 16, 24, 32, 64, 65_535):
        for method in (0, 1, 2, 3, 4, 5, 0xFFFF_FFFF):
            content = bmp(8, 8, bytes(400), bits=bits, method=method)
            yield _lie(f"bmp of {bits} bits by method {method}", content, (8, 8))
    for colours in LONGS:
        yield _lie(f"bmp of {colours} colours", bmp(8, 8, bytes(400), bits=8, colours=colours), (8, 8))
    for size in (0, 11, 12, 39, 64, 124, 0xFFFF_FFFF):
        content = bmp(8, 8, bytes(400))
        yield _lie(
            f"bmp with a header of {size}", content[:14] + struct.pack("<I", size) + content[18:], (8, 8), (8, 0)
        )
    for width, height in ((-8, 8), (8, -0x8000_0000), (0x7FFF_FFFF, 1)):
        yield _lie(f"bmp of {width} x {height}", bmp(width, height, bytes(400)))


def _gifs() -> Iterator[BadFile]:
    for size in (*range(14), 64, 255):
        content = gif_head(8, 8) + gif_frame(data=bytes([size]) + b"\x02\x44\x01\0") + b";"
        yield _lie(f"gif with codes of {size} bits", content, (8, 8))
    for width, height in ((0, 0), (0, 9), (9, 0)):
        content = gif_head(width, height) + gif_frame() + b";"
        yield _lie(f"gif says {width} x {height}", content, (max(width, 1), max(height, 1)))
    for left, top in ((65_535, 65_535), (65_535, 0), (7, 7), (8, 8)):
        sizes = {(8, 8), (left + 1, 8), (left + 1, top + 1)}
        yield _lie(f"gif with a frame at {left}, {top}", gif_head(8, 8) + gif_frame(left=left, top=top) + b";", *sizes)
    yield _lie("gif with a frame of nothing", gif_head(8, 8) + gif_frame(0, 0) + b";", (8, 8))
    yield _lie("gif without a palette", gif_head(8, 8, b"") + gif_frame() + b";", (8, 8))
    yield BadFile("header", "gif without a frame", gif_head(8, 8) + b";", CORRUPT)
    half = gif_frame(100, 100) + b";"
    yield BadFile("header", "gif whose frame ends after one pixel", gif_head(100, 100) + half, CORRUPT)


def _boxed() -> Iterator[BadFile]:
    for name in ("avif-still", "jpeg2000-jp2"):
        first = {"avif-still": b"meta", "jpeg2000-jp2": b"jp2h"}[name]
        for length in LONGS:
            content = _patched(name, first, -4, struct.pack(">I", length))
            yield _lie(f"{name} whose {first.decode()} says {length} bytes", content, (WIDTH, HEIGHT))
    tiles = _patched("jpeg2000-stream", b"\xff\x51", 22, struct.pack(">II", 1, 1))
    yield _lie("jpeg 2000 with tiles of one pixel", tiles)
    for components in WORDS:
        lying = struct.pack(">H", components)
        yield _lie(f"jpeg 2000 of {components} components", _patched("jpeg2000-stream", b"\xff\x51", 38, lying))
    for length in LONGS:
        content = struct.pack(">I", length) + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(100)
        yield BadFile("header", f"heif whose ftyp says {length} bytes", content, CORRUPT | UNSUPPORTED)
    deep = b""
    for _ in range(2000):
        deep = box(b"meta", bytes(4), deep)
    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    yield BadFile("header", "heif of 2,000 boxes in one another", head + deep, CORRUPT)
