"""Untrusted bytes to upright pixels, decoded in guarded child processes."""

import queue
from concurrent.futures import ThreadPoolExecutor

import structlog

from media_inference.errors import ErrorCode, PermanentError, TransientError
from media_inference.media.guarded_child import ChildLost, GuardedChild
from media_inference.media.picture import Picture
from media_inference.media.sandbox.protocol import Limits, Wanted
from media_inference.media.store_kind import MAX_BYTES

MESSAGES = {
    ErrorCode.UNSUPPORTED_FORMAT: "the file is not a picture in a format that is decoded here",
    ErrorCode.IMAGE_CORRUPT: "the picture is damaged or incomplete",
    ErrorCode.IMAGE_TOO_LARGE: "the picture is too large",
    ErrorCode.DECODER_CRASHED: "the picture's decoder crashed or took too long",
}


class Decoder:
    """A pool of ``processes`` guarded children. Safe for several threads; a picture waits until a child is free.

    ``deadline`` is how many seconds a picture may take before its child is killed. Children start when they are first
    needed, or by `warm`. Close it when done.
    """

    def __init__(
        self, processes: int = 1, *, max_bytes: int = MAX_BYTES, deadline: float = 30.0, limits: Limits | None = None
    ) -> None:
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._limits = limits or Limits()
        self._closed = False
        self._places = [_Place() for _ in range(processes)]
        self._free: queue.LifoQueue[_Place] = queue.LifoQueue()  # last in, first out: idle children stay idle
        for place in self._places:
            self._free.put(place)
        # Children die with the thread that started them, so one thread that outlives them starts them all.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decoder-starter")

    def decode(self, content: bytes, *, short_side: int | None = None, long_side: int | None = None) -> Picture:
        """The upright picture with at least these sides in pixels, as far as it has them; without any, in full size.

        Only JPEGs are ever decoded smaller than they are, by 2, 4 or 8 where that divides both sides. Raises
        `PermanentError` (`unsupported_format`, `image_corrupt`, `image_too_large`, `decoder_crashed`) or
        `TransientError` (`internal`) when no child starts.
        """
        if not content:
            raise _permanent(ErrorCode.IMAGE_CORRUPT)
        if len(content) > self._max_bytes:
            raise _permanent(ErrorCode.IMAGE_TOO_LARGE)
        place = self._free.get()
        try:
            answer = self._child_in(place).decode(content, Wanted(short_side, long_side), self._deadline)
        except ChildLost as error:
            raise _permanent(ErrorCode.DECODER_CRASHED) from error
        finally:
            self._free.put(place)
        if isinstance(answer, ErrorCode):
            raise _permanent(answer)
        return answer

    def warm(self) -> None:
        """Starts all children now. Raises `TransientError` (`internal`) when one doesn't start."""
        places = self._take_all()
        try:
            for place in places:
                self._child_in(place)
        finally:
            self._give_back(places)

    def close(self) -> None:
        """Waits for pictures that are being decoded, then ends all children."""
        self._closed = True
        places = self._take_all()
        for place in places:
            place.clear()
        self._give_back(places)
        self._starter.shutdown()

    @property
    def pids(self) -> list[int]:
        """Process ids of the children that have been started."""
        return [place.child.pid for place in self._places if place.child]

    def _child_in(self, place: "_Place") -> GuardedChild:
        if self._closed:
            raise RuntimeError("this decoder is closed")
        if place.child is None or not place.child.usable:
            place.clear()
            place.child = self._start()
        return place.child

    def _start(self) -> GuardedChild:
        try:
            return self._starter.submit(GuardedChild, self._limits).result()
        except (ChildLost, OSError) as error:
            structlog.get_logger().error(
                "decoder child doesn't start", action="decoder_start_failed", reason=str(error)
            )
            raise TransientError(ErrorCode.INTERNAL, "the picture decoder doesn't start") from error

    def _take_all(self) -> list["_Place"]:
        return [self._free.get() for _ in self._places]

    def _give_back(self, places: list["_Place"]) -> None:
        for place in places:
            self._free.put(place)


class _Place:
    """Room for one child."""

    def __init__(self) -> None:
        self.child: GuardedChild | None = None

    def clear(self) -> None:
        if self.child:
            self.child.close()
        self.child = None


def _permanent(code: ErrorCode) -> PermanentError:
    return PermanentError(code, MESSAGES[code])
