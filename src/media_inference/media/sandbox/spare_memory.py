"""Memory that Pillow and the C library keep for later."""

import ctypes
import functools
from collections.abc import Callable

from PIL import _imaging

KEPT_BLOCKS = 3
"""Of 16 MiB: the pixels of a photo of 12 megapixels, as Pillow has them."""


def keep_blocks() -> None:
    """Lets Pillow use the memory of one picture again for the next: new pages would cost up to 20 ms each time."""
    _imaging.set_blocks_max(KEPT_BLOCKS)


def give_back() -> None:
    """Hands free memory to the system, where the C library can: a crafted file may leave tens of megabytes in holes."""
    _imaging.clear_cache()
    _trim()(0)


@functools.cache
def _trim() -> Callable[[int], object]:
    """glibc's own function (malloc_trim(3)); others have none, and keep less."""
    return getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)
