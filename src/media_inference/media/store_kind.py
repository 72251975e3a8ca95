"""A kind of media store, as the catalogue lists it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from media_inference.media.store import MediaStore, ResultSink

MAX_BYTES = 64 * 1024 * 1024
CACHE_BYTES = 512 * 1024 * 1024


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
    """Longest time for one item in all, from the look-up of the name to the last byte."""
    max_connections: int = 16
    cache_dir: Path | None = None
    """Where items from far away are kept for the next job and the next process; None keeps nothing."""
    cache_bytes: int = CACHE_BYTES


@dataclass(frozen=True, slots=True)
class StoreKind:
    """Opens the stores whose URL has this scheme; ``open_sink`` is there when they take results back.

    Both raise `CannotStart` for options that they can't use.
    """

    scheme: str
    open: Callable[[StoreOptions], MediaStore]
    open_sink: Callable[[StoreOptions], ResultSink] | None = None
