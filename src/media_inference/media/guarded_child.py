"""One child process that decodes pictures, as its parent sees it."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import structlog

from media_inference.errors import ErrorCode
from media_inference.media import memory_file
from media_inference.media.picture import Picture
from media_inference.media.sandbox.protocol import READY, Limits, Nonsense, Sizes, Wanted, parse_answer, receive, send

CHILD = "media_inference.media.sandbox.child"
START_SECONDS = 30.0
STDERR_BYTES = 64 * 1024
STDERR_TAIL = 2000
GRACE_SECONDS = 1.0


class ChildLost(Exception):
    """The child died, did not answer in time, or answered nonsense. Whichever it was, it is dead now."""


class GuardedChild:
    """Starts the child and waits until it is ready. Raises `ChildLost`. For one thread at a time.

    It gets no environment, no descriptors but its socket, and a session of its own, so that a Ctrl-C meant for the
    parent doesn't reach it. Start it from a thread that lives on: Linux kills it together with that thread.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._decoded = 0
        self._stderr = memory_file.sized(STDERR_BYTES)  # it can't grow, however much the child has to say
        with contextlib.ExitStack() as held:
            held.callback(os.close, self._stderr)
            self._channel, end = (held.enter_context(half) for half in socket.socketpair())
            self._process = self._spawn(end)
            end.close()
            self._held = held.pop_all()
        self._expect_ready()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether it lives and has not done its share of pictures."""
        return self._decoded < self._limits.pictures and self._process.poll() is None

    def decode(self, content: bytes, wanted: Wanted, seconds: float) -> Picture | ErrorCode:
        """The picture, or why it is refused. Raises `ChildLost`, after ``seconds`` at the latest."""
        self._decoded += 1
        source, target = memory_file.filled(content), memory_file.sized(self._limits.max_pixels * 3)
        try:
            answer = self._ask(wanted, (source, target), seconds)
            return answer if isinstance(answer, ErrorCode) else _picture(target, answer)
        finally:
            os.close(source)
            os.close(target)

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        self._held.close()

    def _spawn(self, end: socket.socket) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-m", CHILD, str(end.fileno()), self._limits.to_json()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
            env={},
            cwd="/",
            pass_fds=(end.fileno(),),
            start_new_session=True,
        )

    def _expect_ready(self) -> None:
        with self._losing():
            if receive(self._channel, time.monotonic() + START_SECONDS) != READY:
                raise Nonsense("another greeting")

    def _ask(self, wanted: Wanted, descriptors: tuple[int, int], seconds: float) -> Sizes | ErrorCode:
        with self._losing():
            deadline = time.monotonic() + seconds
            send(self._channel, {"short_side": wanted.short_side, "long_side": wanted.long_side}, descriptors)
            return parse_answer(receive(self._channel, deadline), self._limits)

    @contextlib.contextmanager
    def _losing(self) -> Iterator[None]:
        """Whatever goes wrong between the two, the child is not asked again."""
        try:
            yield
        except TimeoutError as error:
            raise self._lost("no answer in time") from error
        except EOFError as error:
            raise self._lost("died") from error
        except (OSError, Nonsense) as error:
            raise self._lost(str(error)) from error

    def _lost(self, reason: str) -> ChildLost:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_SECONDS if reason == "died" else 0)  # so that its own exit status is seen
        structlog.get_logger().warning(
            "decoder child lost",
            action="decoder_child_lost",
            pid=self.pid,
            reason=reason,
            exit_status=self._process.returncode,
            stderr=self._last_words(),
        )
        self.close()
        return ChildLost(reason)

    def _last_words(self) -> str:
        end = os.lseek(self._stderr, 0, os.SEEK_CUR)  # the child writes at the same position
        start = max(0, end - STDERR_TAIL)
        words = os.pread(self._stderr, end - start, start)
        return words.decode(errors="replace").strip()


def _picture(target: int, sizes: Sizes) -> Picture:
    pixels = np.frombuffer(memory_file.contents(target, sizes.byte_count), dtype=np.uint8)
    return Picture(pixels.reshape(sizes.height, sizes.width, 3), sizes.full_width, sizes.full_height)
