"""Which formats are decoded, told by their first bytes and by nothing else.

Only what cameras and photo libraries write. Formats that are programs or documents (EPS, PDF, PSD, SVG, WMF, ICNS,
FITS…) never reach a decoder.
"""

PREFIX_BYTES = 64
JPEG_2000_BOX = b"\x00\x00\x00\x0cjP  \x0d\x0a\x87\x0a"
JPEG_2000_STREAM = b"\xff\x4f\xff\x51"

# ISO/IEC 23000-22 and 23008-12: brands of the `ftyp` box
AVIF_BRANDS = {b"avif", b"avis"}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}

BY_PREFIX = {
    b"\xff\xd8\xff": "JPEG",  # MPO too: a JPEG with more pictures behind it
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
    b"BM": "BMP",
    JPEG_2000_BOX: "JPEG2000",
    JPEG_2000_STREAM: "JPEG2000",
}


def format_of(prefix: bytes) -> str | None:
    """Pillow's name of the format of a file that starts like this; None for all that is not decoded."""
    for magic, name in BY_PREFIX.items():
        if prefix.startswith(magic):
            return name
    if prefix[:4] == b"RIFF" and prefix[8:12] == b"WEBP":
        return "WEBP"
    if prefix[4:8] == b"ftyp":
        return _format_of_brands(prefix)
    return None


def _format_of_brands(prefix: bytes) -> str | None:
    """The major brand at 8, then compatible ones from 16 to the end of the box."""
    end = min(int.from_bytes(prefix[:4]), len(prefix))
    brands = [prefix[8:12], *(prefix[at : at + 4] for at in range(16, end, 4))]
    if brands[0] in AVIF_BRANDS:
        return "AVIF"
    if brands[0] not in HEIF_BRANDS:
        return None
    return "AVIF" if brands[0] in {b"mif1", b"msf1"} and AVIF_BRANDS & set(brands) else "HEIF"
