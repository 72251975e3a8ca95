"""One process that turns texts into vectors, as its parent sees it."""

import subprocess
from collections.abc import Mapping, Sequence
from multiprocessing import Pipe

import numpy as np

from media_inference.jobs.outcome import Vector
from media_inference.models.kinds import DIMENSION

READY, REFUSED = b"ready", b"refused"
NO_VECTOR = b""
LONGEST_TEXT_BYTES = 16 * 1024

_VECTOR_BYTES = 4 * DIMENSION
_GRACE_SECONDS = 1.0


class ChildLost(Exception):
    """The child answered nothing in time, or nonsense. It is dead now."""


class ChildDied(ChildLost):
    """The child was or fell dead. ``status``: its exit status."""

    def __init__(self, status: int | None) -> None:
        super().__init__(f"it ended with {status}")
        self.status = status


class ChildRefused(ChildLost):
    """The child can't start as things are set up; it has said why on stderr."""


class TextChild:
    """Starts the process ``command``; a descriptor to talk over is added to it. For one thread at a time, `kill` apart.

    It has a session of its own, so that a Ctrl-C meant for its parent doesn't reach it, and ends when the descriptor's
    other end is closed. Raises `OSError` when no process can be had.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._channel, end = Pipe()
        with end:
            self._process = subprocess.Popen(
                [*command, str(end.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(end.fileno(),),
                env=dict(environment),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_until_ready(self, seconds: float) -> None:
        """Returns when it is ready. Raises `ChildLost`."""
        greeting = self._receive(seconds)
        if greeting == REFUSED:
            self.close()
            raise ChildRefused("it can't start as things are set up")
        if greeting != READY:
            raise self._lost("it greeted with nonsense")

    def embed(self, text: str, seconds: float) -> Vector | None:
        """The unit vector of a text, None when it has none. Raises `ChildLost`, after ``seconds`` at the latest."""
        try:
            self._channel.send_bytes(text.encode("utf-8"))
        except OSError:
            raise self._died() from None
        answer = self._receive(seconds)
        if answer == NO_VECTOR:
            return None
        if len(answer) != _VECTOR_BYTES:
            raise self._lost("it answered with nonsense")
        return np.frombuffer(answer, "<f4")

    def kill(self) -> None:
        """Ends the process, so that whoever waits for it finds it dead; safe to call from any thread."""
        self._process.kill()

    def close(self) -> None:
        """Ends the process and lets everything go."""
        self._process.kill()
        self._process.wait()
        self._channel.close()

    def _receive(self, seconds: float) -> bytes:
        try:
            if not self._channel.poll(seconds):
                raise self._lost("no answer in time")
            return self._channel.recv_bytes(_VECTOR_BYTES)
        except (EOFError, OSError):
            raise self._died() from None

    def _died(self) -> ChildDied:
        try:
            status = self._process.wait(_GRACE_SECONDS)  # so that its own exit status is seen
        except subprocess.TimeoutExpired:
            status = None
        self.close()
        return ChildDied(status)

    def _lost(self, reason: str) -> ChildLost:
        self.close()
        return ChildLost(reason)
