"""Untrusted bytes to upright pixels, decoded in guarded child processes."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import structlog

from media_inference.errors import ErrorCode, PermanentError, TransientError
from media_inference.media.guarded_child import ChildLost, GuardedChild
from media_inference.media.picture import Picture
from media_inference.media.pixel_room import PixelRoom
from media_inference.media.sandbox.protocol import Greeting, Limits, Wanted
from media_inference.media.store_kind import MAX_BYTES
from media_inference.media.turns import Turns

MOST_DECODED = 512 << 20

MESSAGES = {
    ErrorCode.UNSUPPORTED_FORMAT: "the file is not a picture in a format that is decoded here",
    ErrorCode.IMAGE_CORRUPT: "the picture is damaged or incomplete",
    ErrorCode.IMAGE_TOO_LARGE: "the picture is too large",
    ErrorCode.DECODER_CRASHED: "the picture's decoder crashed or took too long",
}


class Decoder:
    """A pool of ``processes`` guarded children. Safe for several threads; the most urgent gets the next child.

    ``deadline`` is how many seconds a picture may take before its child is killed. ``most_decoded``: while full-size
    pictures in use take more than so many bytes, others wait. Children start when they are first needed, or by `warm`.
    Close it when done.
    """

    def __init__(
        self,
        processes: int = 1,
        *,
        max_bytes: int = MAX_BYTES,
        deadline: float = 30.0,
        limits: Limits | None = None,
        most_decoded: int = MOST_DECODED,
    ) -> None:
        self.most_decoded = most_decoded
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._limits = limits or Limits()
        self._closed = False
        self._told_missing = False
        self._places = [_Place() for _ in range(processes)]
        self._turns = Turns(self._places)
        self._room = PixelRoom(most_decoded)
        # Children die with the thread that started them, so one thread that outlives them starts them all.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decoder-starter")

    def decode(self, content: bytes, *, short_side: int | None = None, long_side: int | None = None) -> Picture:
        """The upright picture with at least these sides in pixels, as far as it has them; without any, in full size.

        Only JPEGs are ever decoded smaller than they are, by 2, 4 or 8 (`Picture.extent`). Raises
        `PermanentError` (`unsupported_format`, `image_corrupt`, `image_too_large`, `decoder_crashed`) or
        `TransientError` (`internal`) when no child starts.
        """
        if not content:
            raise _permanent(ErrorCode.IMAGE_CORRUPT)
        if len(content) > self._max_bytes:
            raise _permanent(ErrorCode.IMAGE_TOO_LARGE)
        wanted = Wanted(short_side, long_side)
        while True:
            self._room.wait()
            with self._turns.one() as place:
                if self._room.is_there:  # others may have taken it while this one waited for its turn
                    return self._decoded(place, content, wanted)

    def _decoded(self, place: "_Place", content: bytes, wanted: Wanted) -> Picture:
        try:
            answer = self._child_in(place).decode(content, wanted, self._deadline)
        except ChildLost as error:
            raise _permanent(ErrorCode.DECODER_CRASHED) from error
        if isinstance(answer, ErrorCode):
            raise _permanent(answer)
        self._room.count(answer)
        return answer

    def warm(self) -> Greeting:
        """Starts one child now, which says what guards it; the others start when they are needed.

        Raises as `decode` does when it doesn't start.
        """
        with self._turns.one() as place:
            return self._child_in(place).greeting

    def forget(self) -> None:
        """Lets go of memory that the next pictures would have used again."""
        for child in [place.child for place in self._places]:
            if child is not None:
                child.forget()

    def close(self) -> None:
        """Waits for pictures that are being decoded, then ends all children."""
        self._closed = True
        with ExitStack() as taken:
            for _ in self._places:
                taken.enter_context(self._turns.one()).clear()
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
            child = self._starter.submit(GuardedChild, self._limits).result()
        except (ChildLost, OSError) as error:
            structlog.get_logger().error(
                "decoder child doesn't start", action="decoder_start_failed", reason=str(error)
            )
            raise TransientError(ErrorCode.INTERNAL, "the picture decoder doesn't start") from error
        self._tell_missing(child)
        return child

    def _tell_missing(self, child: GuardedChild) -> None:
        """Once: the children of one machine are all alike."""
        missing = child.greeting.guards.missing
        if missing and not self._told_missing:
            self._told_missing = True
            structlog.get_logger().warning(
                "decoder children lack some guards here", action="decoder_guards_missing", missing=missing
            )


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
