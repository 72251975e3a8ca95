"""A kind of media store, as the catalogue lists it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from media_inference.media.store import MediaStore

MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What a store needs to know. Times are seconds; a store ignores what does not concern it."""

    url: str
    token: str | None = field(default=None, repr=False)
    max_bytes: int = MAX_BYTES
    connect_timeout: float = 5.0
    read_timeout: float = 20.0
    """Longest silence of the other side."""
    total_timeout: float = 120.0
    """Longest time for one item in all."""
    max_connections: int = 16


@dataclass(frozen=True, slots=True)
class StoreKind:
    """Opens the stores whose URL has this scheme. ``open`` raises `CannotStart` for a URL that it can't use."""

    scheme: str
    open: Callable[[StoreOptions], MediaStore]
