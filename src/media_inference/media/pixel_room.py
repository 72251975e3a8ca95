"""How much memory decoded pictures may take together."""

import gc
import threading
import weakref

from media_inference.media.picture import Picture

PATIENCE_SECONDS = 5.0
"""Until whoever waits looks whether a picture is left that nobody can have any more."""


class PixelRoom:
    """Counts the full-size pictures that are in use. Safe for several threads.

    Who wants another one waits while those that are there take more than ``most_bytes``, and looks again when it is its
    turn at a decoder; so all together take at most that and one picture for each decoder. Pictures that were decoded
    smaller don't count: they are small, and whoever has one may be waiting here for the full size.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._used = 0
        self._changed = threading.Condition()

    def wait(self) -> None:
        """Returns when there is room."""
        with self._changed:
            while not self._changed.wait_for(lambda: self.is_there, PATIENCE_SECONDS):
                gc.collect()  # a picture in a cycle is let go by the collector alone, and that sleeps when all wait

    @property
    def is_there(self) -> bool:
        """Whether there is room now."""
        return self._used <= self._most

    def count(self, picture: Picture) -> None:
        """Counts a picture until nobody has it any more."""
        if picture.is_full:
            size = picture.pixels.nbytes
            self._add(size)
            weakref.finalize(picture, self._add, -size).atexit = False

    def _add(self, size: int) -> None:
        with self._changed:
            self._used += size
            self._changed.notify_all()
