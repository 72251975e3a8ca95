"""One child process that decodes pictures, as its parent sees it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import structlog

from media_inference.errors import ErrorCode
from media_inference.media import memory_file
from media_inference.media.picture import Picture
from media_inference.media.pixel_memory import PixelMemory
from media_inference.media.sandbox.protocol import (
    Greeting,
    Limits,
    Nonsense,
    Sizes,
    Wanted,
    parse_answer,
    parse_greeting,
    receive,
    send,
)

CHILD = "media_inference.media.sandbox.child"
START_SECONDS = 30.0
STDERR_BYTES = 64 * 1024
STDERR_TAIL = 2000
GRACE_SECONDS = 1.0

DIED_OF = {
    -signal.SIGSYS: "killed: it made a system call that no decoder makes",
    -signal.SIGXCPU: "killed: its CPU time was used up",
}


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
        self._memory = PixelMemory(limits.max_pixels * 3)
        self._stderr = memory_file.sized(STDERR_BYTES)  # it can't grow, however much the child has to say
        with contextlib.ExitStack() as held:
            held.callback(os.close, self._stderr)
            self._channel, end = (held.enter_context(half) for half in socket.socketpair())
            self._process = self._spawn(end)
            end.close()
            self._held = held.pop_all()
        self._greeting = self._greeted()
        self._rest()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def greeting(self) -> Greeting:
        """What guards it and what it decodes with."""
        return self._greeting

    @property
    def usable(self) -> bool:
        """Whether it lives, has not done its share of pictures, and says nothing unasked.

        One that has answered already would be believed about the wrong picture.
        """
        return self._decoded < self._limits.pictures and self._process.poll() is None and self._is_silent()

    def decode(self, content: bytes, wanted: Wanted, seconds: float) -> Picture | ErrorCode:
        """The picture, or why it is refused. Raises `ChildLost`, after ``seconds`` at the latest."""
        self._decoded += 1
        with contextlib.ExitStack() as held, contextlib.ExitStack() as unused:
            source = memory_file.filled(content)
            held.callback(os.close, source)
            target = self._memory.take()
            unused.callback(self._memory.give, target)
            answer = self._ask(wanted, (source, target), seconds)
            if isinstance(answer, ErrorCode):
                return answer
            unused.pop_all()
            pixels = self._memory.pixels(target, answer.byte_count)
        return Picture(pixels.reshape(answer.height, answer.width, 3), answer.full_width, answer.full_height)

    def forget(self) -> None:
        """Lets go of memory that the next picture would have used again."""
        self._memory.forget()

    def close(self) -> None:
        """Ends the process, with all of its group if it lives: where no guard forbids it, it may have made some."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._memory.close()
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

    def _greeted(self) -> Greeting:
        with self._losing():
            return parse_greeting(receive(self._channel, time.monotonic() + START_SECONDS))

    def _ask(self, wanted: Wanted, descriptors: tuple[int, int], seconds: float) -> Sizes | ErrorCode:
        with self._losing():
            deadline = time.monotonic() + seconds
            self._channel.settimeout(seconds)
            send(self._channel, {"short_side": wanted.short_side, "long_side": wanted.long_side}, descriptors)
            self._wake()
            answer = parse_answer(receive(self._channel, deadline), self._limits)
            self._rest()
            return answer

    def _rest(self) -> None:
        """A child that is not asked does not run, whatever a picture left in it; nobody counts its time meanwhile.

        Only where it dies with its parent all the same: stopped, it would not see the channel's end.
        """
        if self._dies_with_parent:
            self._process.send_signal(signal.SIGSTOP)

    def _wake(self) -> None:
        if self._dies_with_parent:
            self._process.send_signal(signal.SIGCONT)

    @property
    def _dies_with_parent(self) -> bool:
        return "parent" in self._greeting.guards.held

    def _is_silent(self) -> bool:
        self._channel.setblocking(False)
        try:
            self._channel.recv(1)
        except BlockingIOError:
            return True
        return False

    @contextlib.contextmanager
    def _losing(self) -> Iterator[None]:
        """Whatever goes wrong between the two, the child is not asked again: it may be in the middle of a picture."""
        try:
            yield
        except TimeoutError as error:
            raise self._lost("no answer in time") from error
        except EOFError as error:
            raise self._lost("died") from error
        except (OSError, Nonsense) as error:
            raise self._lost(str(error)) from error
        except BaseException:
            self.close()
            raise

    def _lost(self, reason: str) -> ChildLost:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_SECONDS if reason == "died" else 0)  # so that its own exit status is seen
        status = self._process.returncode
        reason = DIED_OF.get(status, reason) if status is not None else reason
        structlog.get_logger().warning(
            "decoder child lost",
            action="decoder_child_lost",
            pid=self.pid,
            reason=reason,
            exit_status=status,
            stderr=self._last_words(),
        )
        self.close()
        return ChildLost(reason)

    def _last_words(self) -> str:
        end = os.lseek(self._stderr, 0, os.SEEK_CUR)  # the child writes at the same position
        start = max(0, end - STDERR_TAIL)
        words = os.pread(self._stderr, end - start, start)
        return words.decode(errors="replace").strip()
