"""One bad file, and what it may end in."""

from dataclasses import dataclass

from media_inference.errors import ErrorCode

Size = tuple[int, int]
"""Width and height of the upright picture."""

CORRUPT = frozenset({ErrorCode.IMAGE_CORRUPT})
TOO_LARGE = frozenset({ErrorCode.IMAGE_TOO_LARGE})
UNSUPPORTED = frozenset({ErrorCode.UNSUPPORTED_FORMAT})
REFUSED = CORRUPT | TOO_LARGE | UNSUPPORTED
"""Every code for a file that its decoder survived."""
NO_SIZES: frozenset[Size] = frozenset()


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that no camera wrote. ``kind`` says what is bad about it, ``name`` is unique and says it in full."""

    kind: str
    name: str
    content: bytes
    codes: frozenset[ErrorCode] = frozenset()
    """How it may be refused; nothing: it must decode."""
    sizes: frozenset[Size] = NO_SIZES
    """Which size it may have if it decodes; nothing: it must not."""
    whole: bytes | None = None
    """If it decodes, then to the same pixels as this file, of which it is a part."""
    heavy: bool = False
    """Takes more than a tenth of a second, or is large: not for the short tier."""
