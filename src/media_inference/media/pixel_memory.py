"""Memory that a decoder's child writes pixels into, used again when nobody looks at them any more."""

import os
import threading
import weakref

import numpy as np
from numpy.typing import NDArray

from media_inference.media import memory_file

KEPT_BYTES = 64 << 20
"""A file that has grown larger is not kept, and no more than one."""
COPIED_BYTES = 1 << 20
"""Less is copied: a descriptor and a mapping each would cost more, and there are not many to have."""


class PixelMemory:
    """Memory files of up to ``size`` bytes for one child. Safe for several threads.

    A page that is new costs more than to decode into it: for a photo of 12 megapixels that is a fifth of its time. The
    same child has seen what lies in a file that it gets again.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.RLock()  # what gives back may be the collector, in the middle of `take`
        self._free: list[int] = []
        self._keeps = True

    def take(self) -> int:
        """Descriptor of a file; what it holds is of no meaning."""
        with self._lock:
            return self._free.pop() if self._free else memory_file.sized(self._size)

    def give(self, descriptor: int) -> None:
        """Nobody looks into it any more."""
        with self._lock:
            fits = _held_bytes(descriptor) <= KEPT_BYTES
            if self._keeps and fits and not self._free:
                self._free.append(descriptor)
                return
        os.close(descriptor)

    def pixels(self, descriptor: int, size: int) -> NDArray[np.uint8]:
        """The first bytes of the file, read-only; it is given back when no array looks at them any more.

        Few of many are copied, and the file is given back at once: whoever has a small picture shall not keep the
        memory of a large one that was in the same file before.
        """
        try:
            few = size < COPIED_BYTES or 2 * size < _held_bytes(descriptor)
            content = os.pread(descriptor, size, 0) if few else memory_file.contents(descriptor, size)
        except BaseException:
            self.give(descriptor)
            raise
        if isinstance(content, bytes):
            self.give(descriptor)
        else:
            weakref.finalize(content, self.give, descriptor).atexit = False
        return np.frombuffer(content, dtype=np.uint8)

    def forget(self) -> None:
        """Lets go of what is free."""
        with self._lock:
            while self._free:
                os.close(self._free.pop())

    def close(self) -> None:
        """The same, and of what is still in use when that is over."""
        self._keeps = False
        self.forget()


def _held_bytes(descriptor: int) -> int:
    """Memory that a file takes: of the pages that were ever written."""
    return os.fstat(descriptor).st_blocks * 512
