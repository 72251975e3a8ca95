"""What the decoder and its child say to each other: one line of JSON each way, and descriptors beside it.

::

    child:  {"held": {"memory": "2048 MiB", ...}, "missing": {"landlock": "the kernel has none"}, "libraries": {...}}
    parent: {"short_side": 448, "long_side": null}     + descriptors of the file and of the memory for the pixels
    child:  {"width": 504, "height": 378, "full_width": 4032, "full_height": 3024}
    or      {"refused": "image_corrupt"}

The parent believes nothing that it has not checked: by the time a child answers, a picture may have taken it over.
"""

import json
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from media_inference.errors import ErrorCode

LONGEST_MESSAGE = 2048

SCALES = (8, 4, 2)
"""By what a JPEG may be decoded smaller; of what is left over at its ends a pixel is made too."""

Message = dict[str, Any]

REFUSALS = {ErrorCode.UNSUPPORTED_FORMAT, ErrorCode.IMAGE_CORRUPT, ErrorCode.IMAGE_TOO_LARGE}


class Nonsense(Exception):
    """The other side said something that it must not say."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one picture may cost. All are enforced in the child; sizes are checked once more in the parent."""

    max_pixels: int = 100_000_000
    max_side: int = 65_535
    memory_bytes: int = 2_560 * 1024 * 1024
    """Address space of the child."""
    cpu_seconds: int = 30
    pictures: int = 500
    """After so many the child is replaced."""

    def to_json(self) -> str:
        """For the child's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Limits":
        """The other end of `to_json`."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Least sides of the decoded picture, in pixels; both None stands for the full size."""

    short_side: int | None = None
    long_side: int | None = None


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of a decoded picture, upright."""

    width: int
    height: int
    full_width: int
    full_height: int

    @property
    def byte_count(self) -> int:
        """Bytes of its pixels."""
        return self.width * self.height * 3


@dataclass(frozen=True, slots=True)
class Guards:
    """What a child has been deprived of, by name: how it is held, or why this machine can't hold it."""

    held: dict[str, str]
    missing: dict[str, str]


@dataclass(frozen=True, slots=True)
class Greeting:
    """A child's first words. It has seen no picture yet, so they can be believed."""

    guards: Guards
    libraries: dict[str, str]
    """Versions of what really decodes there."""

    def to_message(self) -> Message:
        """For the parent."""
        return {**asdict(self.guards), "libraries": self.libraries}


def parse_greeting(message: Message) -> Greeting:
    """The other end of `Greeting.to_message`, or `Nonsense`."""
    if set(message) != {"held", "missing", "libraries"}:
        raise Nonsense("another greeting")
    for words in message.values():
        if not isinstance(words, dict) or not all(isinstance(word, str) for word in words.values()):
            raise Nonsense("another greeting")
    return Greeting(Guards(message["held"], message["missing"]), message["libraries"])


def parse_answer(message: Message, limits: Limits) -> Sizes | ErrorCode:
    """The child's answer, or `Nonsense`."""
    if set(message) == {"refused"}:
        for code in REFUSALS:
            if message["refused"] == code:
                return code
    if set(message) == {"width", "height", "full_width", "full_height"}:
        sides = {name: side for name, side in message.items() if type(side) is int and 1 <= side <= limits.max_side}
        if len(sides) == 4 and _plausible(sizes := Sizes(**sides), limits):
            return sizes
    raise Nonsense("an answer of another shape")


def _plausible(sizes: Sizes, limits: Limits) -> bool:
    """Whether the picture is within the limits, and the pixels are those of one of the scales of a JPEG."""
    return sizes.full_width * sizes.full_height <= limits.max_pixels and any(
        (sizes.width, sizes.height) == (-(-sizes.full_width // scale), -(-sizes.full_height // scale))
        for scale in (1, *SCALES)
    )


def send(channel: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Sends one message."""
    socket.send_fds(channel, [json.dumps(message).encode() + b"\n"], descriptors)


def receive(channel: socket.socket, deadline: float | None = None) -> Message:
    """The next message. Raises `EOFError` when the other side is gone, `TimeoutError` past the monotonic deadline."""
    line = b""
    while not line.endswith(b"\n"):
        if deadline is not None:
            channel.settimeout(max(0.001, deadline - time.monotonic()))
        piece = channel.recv(LONGEST_MESSAGE)
        line += piece
        if not piece:
            raise EOFError
        if len(line) > LONGEST_MESSAGE:
            raise Nonsense("a message without an end")
        if deadline is not None and time.monotonic() > deadline:
            raise TimeoutError
    return parse(line)


def parse(line: bytes) -> Message:
    """One message: a JSON object."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Nonsense("no JSON") from error
    if not isinstance(message, dict):
        raise Nonsense("no object")
    return message
