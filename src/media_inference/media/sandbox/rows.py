"""Whether a PNG or a TIFF has all the rows of its picture."""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image, TiffImagePlugin

HEAD = struct.Struct(">8x4x4xIIBBxxB")
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# PNG, section 8.2: start and step of the passes of an interlaced picture, across and down
PASSES = ((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2))
INFLATED = 1 << 20


def png_lacks_rows(image: Image.Image, file: BinaryIO) -> bool:
    """Whether the compressed data of a PNG end before its last row. Pillow leaves what is missing black, in silence.

    So a picture whose last row is not black is whole, unless it is interlaced; else its data are counted.
    """
    file.seek(0)
    width, height, bits, colour, interlaced = HEAD.unpack(file.read(HEAD.size))
    if not interlaced and any(image.crop((0, image.height - 1, image.width, image.height)).tobytes()):
        return False
    depth = bits * SAMPLES[colour]
    needed = _interlaced_bytes(width, height, depth) if interlaced else _bytes(width, height, depth)
    return _inflated_bytes(file, needed) < needed


def _bytes(width: int, height: int, depth: int) -> int:
    """Of a picture with its filter bytes; an empty one has none."""
    return (1 + math.ceil(width * depth / 8)) * height if width else 0


def _interlaced_bytes(width: int, height: int, depth: int) -> int:
    return sum(
        _bytes(len(range(left, width, across)), len(range(top, height, down)), depth)
        for left, across, top, down in PASSES
    )


def _inflated_bytes(file: BinaryIO, enough: int) -> int:
    """How many bytes the IDAT chunks hold; counting stops when there are enough."""
    inflate, count = zlib.decompressobj(), 0
    for content in _pixel_chunks(file):
        rest, got = content, INFLATED
        while count < enough and (rest or got == INFLATED) and not inflate.eof:
            got = len(inflate.decompress(rest, INFLATED))
            rest = inflate.unconsumed_tail
            count += got
    return count


def _pixel_chunks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(8)
    while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
        content = file.read(int.from_bytes(head[:4]))
        if head[4:] == b"IDAT":
            yield content
        file.seek(4, 1)


def tiff_lacks_strips(image: Image.Image) -> bool:
    """Whether an uncompressed TIFF has too few strips or tiles. Pillow leaves the rest black, in silence."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or image.tag_v2.get(TiffImagePlugin.COMPRESSION, 1) != 1:
        return False  # libtiff misses what a compressed one lacks
    tags = image.tag_v2
    width, height = tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH]
    tiled = TiffImagePlugin.TILEOFFSETS in tags
    across = math.ceil(width / tags[TiffImagePlugin.TILEWIDTH]) if tiled else 1
    rows = tags[TiffImagePlugin.TILELENGTH] if tiled else tags.get(TiffImagePlugin.ROWSPERSTRIP, height)
    planes = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1) if tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2 else 1
    offsets = tags[TiffImagePlugin.TILEOFFSETS if tiled else TiffImagePlugin.STRIPOFFSETS]
    return bool(len(offsets) < across * math.ceil(height / rows) * planes)
