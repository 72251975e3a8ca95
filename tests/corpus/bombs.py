"""Files that are small, or look harmless, and want much time or memory."""

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from tests.corpus.case import CORRUPT, REFUSED, TOO_LARGE, BadFile, Size
from tests.corpus.good import HEIGHT, WIDTH, generated, photo, saved
from tests.corpus.parts import (
    bmp,
    exif,
    gif_frame,
    gif_head,
    grey_tiff,
    jpeg_segment,
    png,
    png_chunk,
    png_head,
    riff,
    tiff,
    tiff_directory,
    vp8x,
    with_segments,
    zeros,
)

SIZE = (WIDTH, HEIGHT)
MEGABYTE = 1 << 20


def bombs() -> Iterator[BadFile]:
    """All of them."""
    yield from _texts()
    yield from _pixels()
    yield from _profiles()
    yield from _exif_data()
    yield from _frames()


def _bomb(name: str, content: bytes, *sizes: Size, heavy: bool = True) -> BadFile:
    return BadFile("bomb", name, content, REFUSED, frozenset(sizes), heavy=heavy)


def slow_jpeg() -> bytes:
    """A few kilobytes that take minutes: a progressive JPEG whose last scan comes ten thousand times."""
    content = saved(Image.new("L", (4000, 4000), 128), "JPEG", progressive=True)
    scan = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + scan * 10_000 + content[-2:]


def _texts() -> Iterator[BadFile]:
    """Texts that swell to a gigabyte, or are many."""
    gigabyte, megabyte = zeros(1 << 30), zeros(MEGABYTE)
    for kind, head in ((b"zTXt", b"Comment\0\0"), (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0")):
        name = kind.decode()
        yield _bomb(f"png with a {name} of a gigabyte", png(8, 8, extra=png_chunk(kind, head + gigabyte)), (8, 8))
        yield _bomb(f"png with a late {name} of a gigabyte", png(8, 8, behind=png_chunk(kind, head + gigabyte)), (8, 8))
        many = png_chunk(kind, head + megabyte) * 100
        yield _bomb(f"png with a hundred {name} of a megabyte", png(8, 8, extra=many), (8, 8))
    yield _bomb("png with 200,000 texts", png(8, 8, extra=png_chunk(b"tEXt", b"a\0b") * 200_000), (8, 8))
    yield _bomb("png with a text of 20 MB", png(8, 8, extra=png_chunk(b"tEXt", b"a\0" + b"b" * 20 * MEGABYTE)), (8, 8))
    comments = jpeg_segment(0xFE, b"x" * 65_533) * 300
    yield BadFile(
        "bomb",
        "jpeg with 20 MB of comments",
        with_segments(generated()["jpeg-baseline"], comments),
        sizes=frozenset({SIZE}),
        heavy=True,
    )
    empty = jpeg_segment(0xFE, b"") * 500_000
    yield _bomb("jpeg with 500,000 comments", with_segments(generated()["jpeg-baseline"], empty), SIZE)
    comment = b"\x21\xfe" + (b"\xff" + b"x" * 255) * 40_000 + b"\0"
    yield _bomb("gif with a comment of 10 MB", gif_head(8, 8) + comment + gif_frame(8, 8) + b";", (8, 8))
    yield _bomb("gif with 300,000 comments", gif_head(1, 1) + b"\x21\xfe\1x\0" * 300_000 + gif_frame() + b";", (1, 1))


def _pixels() -> Iterator[BadFile]:
    """Much from little."""
    head, end = png_head(1, 1), png_chunk(b"IEND", b"")
    yield _bomb("png of one pixel with a gigabyte of rows", head + png_chunk(b"IDAT", zeros(1 << 30)) + end, (1, 1))
    large = (
        png_head(10_000, 10_000, bits=1, colour=0) + png_chunk(b"IDAT", zlib.compress(bytes(1251 * 10_000), 9)) + end
    )
    yield BadFile("bomb", "png of the most pixels, in 13 kB", large, sizes=frozenset({(10_000, 10_000)}), heavy=True)
    more = png_head(10_001, 10_000, bits=1, colour=0) + png_chunk(b"IDAT", zlib.compress(bytes(1251 * 10_000), 9)) + end
    yield BadFile("bomb", "png of some pixels more", more, TOO_LARGE)
    split = b"".join(png_chunk(b"IDAT", bytes([part])) for part in zlib.compress(bytes(25 * 8)))
    yield BadFile("bomb", "png with an IDAT per byte", png_head(8, 8) + split + end, sizes=frozenset({(8, 8)}))
    yield _bomb("png with 300,000 empty IDAT", head + png_chunk(b"IDAT", b"") * 300_000 + end)
    for method in (1, 2):
        runs = b"\xff\0" * 20_000
        yield _bomb(f"bmp of 9,000 x 9,000 by method {method}", bmp(9000, 9000, runs, bits=8 // method, method=method))
    fax = tiff(grey_tiff(10_000, 10_000, t258=1, t259=4, t279=9), strip=bytes(9))
    yield _bomb("tiff of 100 megapixels in nine bytes of fax", fax, (10_000, 10_000))
    lzw = tiff(grey_tiff(10_000, 10_000, t259=5, t279=2000), strip=b"\x80" + bytes(1999))
    yield _bomb("tiff of 100 megapixels in 2 kB of LZW", lzw, (10_000, 10_000))
    scans = generated()["jpeg-progressive"]
    last = scans[scans.rindex(b"\xff\xda") : -2]
    yield _bomb("jpeg of 3,000 scans", scans[:-2] + last * 3000 + scans[-2:], SIZE)


def _profiles() -> Iterator[BadFile]:
    """ICC profiles: too large, too many parts, nonsense."""
    bomb = png_chunk(b"iCCP", b"p\0\0" + zeros(1 << 30))
    yield _bomb("png with a profile of a gigabyte", png(8, 8, extra=bomb), (8, 8))
    head = _profile_head()
    for tags in (0, 1, 65_535, 0xFFFF_FFFF):
        profile = head + struct.pack(">I", tags) + b"A2B0" + struct.pack(">II", 128, 0xFFFF_FFF0)
        for name in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF"):
            content = saved(photo(), name, icc_profile=profile)
            yield BadFile("bomb", f"{name} with a profile of {tags} tags", content, sizes=frozenset({SIZE}))
    good = generated()["jpeg-baseline"]
    for part, parts in ((0, 0), (1, 255), (255, 1), (2, 2)):
        segment = jpeg_segment(0xE2, b"ICC_PROFILE\0" + bytes([part, parts]) + head)
        yield _bomb(f"jpeg with part {part} of {parts} of a profile", with_segments(good, segment), SIZE, heavy=False)
    pieces = [jpeg_segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 255]) + bytes(65_519)) for n in range(1, 256)]
    yield _bomb("jpeg with a profile of 16 MB of zeros", with_segments(good, *pieces), SIZE)
    webp = riff(vp8x(*SIZE, 0x20), (b"ICCP", bytes(10 * MEGABYTE)), (b"VP8 ", generated()["webp-lossy"][20:]))
    yield _bomb("webp with a profile of 10 MB of zeros", webp, SIZE)


def _profile_head() -> bytes:
    """128 bytes (ICC.1, 7.2) of a display's RGB profile."""
    return (
        struct.pack(">I4sI4s4s4s", 200, b"lcms", 0x0420_0000, b"mntr", b"RGB ", b"XYZ ")
        + bytes(12)
        + b"acsp"
        + bytes(88)
    )


def _exif_data() -> Iterator[BadFile]:
    """Directories that lead to themselves, are endless, or lie; they lose no picture."""
    good, small = generated()["jpeg-baseline"], frozenset({SIZE})
    start = b"II*\0\x08\0\0\0"
    loops = {
        "whose directory follows itself": tiff_directory([(274, 3, 1, 1)], 8),
        "whose sub-directory is the first": tiff_directory([(274, 3, 1, 1), (0x8769, 4, 1, 8), (0x8825, 4, 1, 8)]),
        "of 65,535 entries": struct.pack("<H", 65_535) + bytes(12) * 5000,
        "of a text of 4 GB": tiff_directory([(270, 2, 0xFFFF_FFFF, 8)]),
        "of a text behind the end": tiff_directory([(270, 2, 100, 0xFFFF_FF00)]),
        "whose orientation is a text": tiff_directory([(274, 2, 4, 0x4142_4344)]),
        "whose orientation is many": tiff_directory([(274, 3, 1000, 8)]),
        "whose orientation is 77": tiff_directory([(274, 3, 1, 77)]),
        "whose maker's note is itself": tiff_directory([(0x8769, 4, 1, 26)]) + tiff_directory([(0x927C, 7, 60_000, 8)]),
    }
    for name, directory in loops.items():
        yield BadFile("bomb", f"jpeg with EXIF data {name}", with_segments(good, exif(start + directory)), sizes=small)
        chunk = png_chunk(b"eXIf", start + directory)
        yield BadFile("bomb", f"png with EXIF data {name}", png(8, 8, extra=chunk), sizes=frozenset({(8, 8)}))
        webp = riff(vp8x(*SIZE, 8), (b"VP8 ", generated()["webp-lossy"][20:]), (b"EXIF", start + directory))
        yield BadFile("bomb", f"webp with EXIF data {name}", webp, sizes=small)
    many = with_segments(good, *[exif(start + tiff_directory([(270, 2, 65_000, 8)]) + bytes(65_000))] * 200)
    yield BadFile("bomb", "jpeg with 13 MB of EXIF data", many, sizes=small, heavy=True)
    yield _bomb("tiff whose directory follows itself", tiff(grey_tiff(8, 8), strip=bytes(64), following=72), (8, 8))
    deep = png(
        8, 8, extra=png_chunk(b"eXIf", start + tiff_directory([(270, 2, 9 * MEGABYTE, 26)]) + bytes(9 * MEGABYTE))
    )
    yield _bomb("png with 9 MB of EXIF data", deep, (8, 8))


def _frames() -> Iterator[BadFile]:
    """Of a file with many pictures the first is wanted, and had without a look at the others."""
    for count in (10_000, 500_000):
        gif = gif_head(64, 64) + gif_frame(64, 64, data=_gif_pixels(64)) + gif_frame() * count + b";"
        yield BadFile("bomb", f"gif of {count} frames", gif, sizes=frozenset({(64, 64)}), heavy=count > 10_000)
    frame = (b"ANMF", bytes(6) + struct.pack("<HBHBHBB", 7, 0, 7, 0, 100, 0, 0) + _webp_frame())
    still = riff(vp8x(8, 8, 2), (b"ANIM", bytes(6)), *[frame] * 10_000)
    yield BadFile("bomb", "webp of 10,000 frames", still, sizes=frozenset({(8, 8)}), heavy=True)
    apng = png(8, 8, extra=png_chunk(b"acTL", struct.pack(">II", 0xFFFF, 0)))
    yield _bomb("png that says 65,535 frames and has one", apng, (8, 8), heavy=False)
    pages = b"".join(tiff_directory([], 8 + 6 * (number + 1)) for number in range(100_000))
    yield BadFile("bomb", "tiff of 100,000 empty pages", b"II*\0\x08\0\0\0" + pages, CORRUPT, heavy=True)


def _gif_pixels(side: int) -> bytes:
    """Pixels of a frame of so many white rows and columns, nothing repeated: clear, one, clear, one…"""
    bits, position = 0, 0
    for code in [*[4, 1] * (side * side), 5]:
        bits |= code << position
        position += 3
    packed = bits.to_bytes((position + 7) // 8, "little")
    blocks = (packed[at : at + 255] for at in range(0, len(packed), 255))
    return b"\2" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def _webp_frame() -> bytes:
    """A chunk with 8 x 8 pixels."""
    return saved(photo().resize((8, 8)), "WEBP", lossless=True)[12:]
