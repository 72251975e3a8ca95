"""Files that are two things at once, are called something else, or are of a format that is never decoded."""

import io
import struct
import zipfile
from collections.abc import Iterator

from media_inference.errors import ErrorCode
from tests.corpus.case import CORRUPT, REFUSED, UNSUPPORTED, BadFile
from tests.corpus.good import HEIGHT, WIDTH, generated, photo, saved
from tests.corpus.parts import jpeg_segment, png, png_chunk, with_segments

SIZE = frozenset({(WIDTH, HEIGHT)})
SCRIPT = b"*/=1;alert(1)//"

MAGICS = {
    "aiff": b"FORM\0\0\0\x10AIFF", "avi": b"RIFF\x10\0\0\0AVI LIST", "blp": b"BLP2\1\0\0\0", "bpg": b"BPG\xfb\0\0",
    "bufr": b"BUFR\0\0\0\4", "bz2": b"BZh91AY&SY", "cr3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "crw": b"II\x1a\0\0\0HEAPCCDR", "cur": b"\0\0\2\0\1\0", "dcx": b"\xb1\x68\xde\x3a",
    "djvu": b"AT&TFORM\0\0\0\x10DJVU", "dicom": bytes(128) + b"DICM", "elf": b"\x7fELF\2\1\1",
    "emf": b"\1\0\0\0\x6c\0\0\0" + bytes(32) + b" EMF", "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "eps of dos": b"\xc5\xd0\xd3\xc6\x20\0\0\0", "exe": b"MZ\x90\0\3\0", "exr": b"\x76\x2f\x31\1\2\0\0\0",
    "fits": b"SIMPLE  =                    T", "flac": b"fLaC\0\0\0\x22", "fli": b"\0\1\0\0\x11\xaf\1\0",
    "flif": b"FLIF\x31\x31", "fpx": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "grib": b"GRIB\0\0\0\1",
    "gz": b"\x1f\x8b\x08\0", "hdf5": b"\x89HDF\r\n\x1a\n", "hdr": b"#?RADIANCE\n", "html": b"<!DOCTYPE html>",
    "icns": b"icns\0\0\0\x10", "ico": b"\0\0\1\0\1\0", "iff": b"FORM\0\0\0\x10ILBM",
    "java": b"\xca\xfe\xba\xbe\0\0\0\x34", "json": b'{"width": 9}', "jxl": b"\xff\x0a\xfa\x1f",
    "jxl in boxes": b"\0\0\0\x0cJXL \r\n\x87\n", "jxr": b"II\xbc\1\x20\0\0\0", "mkv": b"\x1a\x45\xdf\xa3",
    "mov": b"\0\0\0\x14ftypqt  ", "mp3": b"ID3\4\0\0", "mp4": b"\0\0\0\x18ftypmp42\0\0\0\0isommp42",
    "mpeg": b"\0\0\1\xba\x44", "orf": b"IIRO\x08\0\0\0", "pcd": b"PCD_OPA", "pcx": b"\x0a\5\1\x08",
    "pdf": b"%PDF-1.7\n1 0 obj\n", "png of one wrong byte": b"\x89PNG\n\r\x1a\n", "ppm": b"P6\n9 9\n255\n",
    "psb": b"8BPS\0\2", "psd": b"8BPS\0\1", "qoi": b"qoif\0\0\0\x09", "raf": b"FUJIFILMCCD-RAW ", "rtf": b"{\\rtf1",
    "rw2": b"IIU\0\x18\0\0\0", "sgi": b"\1\xda\0\1", "sqlite": b"SQLite format 3\0", "sun": b"\x59\xa6\x6a\x95",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>', "svg with a head": b'<?xml version="1.0"?><svg/>',
    "swf": b"CWS\x0a", "tar": b"photo.jpg" + bytes(248) + b"ustar",
    "tga": b"\0\0\2" + bytes(9) + b"\x09\0\x09\0\x18\0", "wasm": b"\0asm\1\0\0\0", "wav": b"RIFF\x10\0\0\0WAVEfmt ",
    "wmf": b"\xd7\xcd\xc6\x9a\0\0", "wmf, bare": b"\1\0\x09\0\0\3", "woff": b"wOFF\0\1\0\0",
    "xbm": b"#define x_width 9\n#define x_height 9\n", "xcf": b"gimp xcf v011\0", "xpm": b"/* XPM */\n",
    "zip": b"PK\3\4\x14\0", "7z": b"7z\xbc\xaf\x27\x1c",
}  # fmt: skip
"""How files begin that are never decoded."""

REAL = ("DDS", "EPS", "ICNS", "ICO", "PCX", "PDF", "PPM", "QOI", "SGI", "TGA")
"""Formats that Pillow writes and would read again if it were let."""


def disguises() -> Iterator[BadFile]:
    """All of them."""
    for name, magic in MAGICS.items():
        yield BadFile("refused format", name, magic + bytes(300), UNSUPPORTED)
        yield BadFile("refused format", f"{name}, the magic alone", magic, UNSUPPORTED)
    for name in REAL:
        image = photo().resize((64, 64))
        yield BadFile("refused format", f"a real {name}", saved(image, name), UNSUPPORTED)
    yield from _nothing()
    yield from _polyglots()
    yield from _misnamed()


def _nothing() -> Iterator[BadFile]:
    yield BadFile("nothing", "empty", b"", CORRUPT)
    for name, byte in (("zeros", b"\0"), ("spaces", b" "), ("ones", b"\xff"), ("line ends", b"\n")):
        for count in (1, 2, 64, 100_000):
            yield BadFile("nothing", f"{count} {name}", byte * count, UNSUPPORTED | CORRUPT)
    for name, content in generated().items():
        for count in (1, 2, 3, 4, 12, 16):
            yield BadFile("nothing", f"the first {count} bytes of {name}", content[:count], UNSUPPORTED | CORRUPT)
        yield BadFile("nothing", f"{name} behind a line end", b"\n" + content, UNSUPPORTED)


def _polyglots() -> Iterator[BadFile]:
    """What is in front decides, and what is behind is left alone."""
    good = generated()
    for name, content in good.items():
        if not name.startswith(("avif", "tiff-zstd")):
            yield _twofold(f"{name} with a ZIP behind", content + _zip())
            yield _twofold(f"{name} with another picture behind", content + good["png-rgb"])
    jpeg = good["jpeg-baseline"]
    yield _twofold("jpeg with a PDF in a comment", with_segments(jpeg, jpeg_segment(0xFE, MAGICS["pdf"])))
    yield _twofold("jpeg with PHP in a comment", with_segments(jpeg, jpeg_segment(0xFE, b"<?php phpinfo(); ?>")))
    yield BadFile("polyglot", "PDF with a jpeg behind", MAGICS["pdf"] + jpeg, UNSUPPORTED)
    yield BadFile("polyglot", "HTML with a jpeg behind", b"<html><!-- " + jpeg, UNSUPPORTED)
    yield BadFile("polyglot", "ZIP with a jpeg behind", _zip() + jpeg, UNSUPPORTED)
    script = b"GIF89a/*" + good["gif-still"][8:] + SCRIPT
    yield BadFile("polyglot", "gif that is JavaScript", script, REFUSED, frozenset({(0x2A2F, HEIGHT)}))
    yield BadFile("polyglot", "bmp that is JavaScript", b"BM/*" + good["bmp-24"][4:] + SCRIPT, sizes=SIZE)
    markup = png(8, 8, extra=png_chunk(b"tEXt", b"Comment\0<script>alert(1)</script>"))
    yield BadFile("polyglot", "png with a script in a text", markup, sizes=frozenset({(8, 8)}))
    tga = b"\0\0\2\0ftypheic" + struct.pack("<HHBB", 16, 16, 24, 32) + bytes(16 * 16 * 3)
    yield BadFile("polyglot", "TGA that begins as a heic", tga, CORRUPT)
    riff = b"RIFF\x10\0\0\0WAVE" + good["webp-lossy"]
    yield BadFile("polyglot", "WAVE with a webp behind", riff, UNSUPPORTED)


def _twofold(name: str, content: bytes) -> BadFile:
    turned = frozenset({(HEIGHT, WIDTH)}) if "turned" in name else SIZE
    return BadFile("polyglot", name, content, sizes=turned)


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("run.sh", "echo hello\n" * 50)
    return file.getvalue()


def _misnamed() -> Iterator[BadFile]:
    """The head of one format, the body of another; what a file's name says is seen by nobody but the media store."""
    good = generated()
    heads = {"jpeg": b"\xff\xd8\xff\xe0", "png": b"\x89PNG\r\n\x1a\n", "gif": b"GIF89a", "tiff": b"II*\0", "bmp": b"BM"}
    heads |= {"webp": b"RIFF\xff\0\0\0WEBP", "heic": b"\0\0\0\x18ftypheic", "avif": b"\0\0\0\x18ftypavif"}
    heads |= {"jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg 2000 stream": b"\xff\x4f\xff\x51"}
    for head, magic in heads.items():
        for body in ("jpeg-baseline", "png-rgb", "gif-still", "bmp-24", "webp-lossy", "tiff-plain", "avif-still"):
            if not body.startswith(head):
                content = magic + good[body][len(magic) :]
                codes = CORRUPT | {ErrorCode.IMAGE_TOO_LARGE}
                yield BadFile("wrong head", f"{body} that begins as {head}", content, codes)
