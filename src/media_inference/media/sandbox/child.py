"""The decoder's child: takes pictures from a socket until the other end closes it.

Started by `media.guarded_child` as ``python -I -m media_inference.media.sandbox.child DESCRIPTOR LIMITS``.
"""

import faulthandler
import mmap
import os
import socket
import sys
from dataclasses import asdict

from PIL import Image

from media_inference.media.sandbox.decode import Refused, decode, load_decoders
from media_inference.media.sandbox.limits import allow_time, confine
from media_inference.media.sandbox.protocol import LONGEST_MESSAGE, READY, Limits, Message, Wanted, parse, send

STRIP_BYTES = 1024 * 1024


def main(descriptor: str, limits_json: str) -> None:
    """Serves pictures until the parent is gone."""
    faulthandler.enable()
    limits = Limits.from_json(limits_json)
    load_decoders(limits)
    confine(limits)
    with socket.socket(fileno=int(descriptor)) as channel:
        send(channel, READY)
        while _serve_one(channel, limits):
            pass


def _serve_one(channel: socket.socket, limits: Limits) -> bool:
    line, descriptors, _, _ = socket.recv_fds(channel, LONGEST_MESSAGE, 2)
    if not line:
        return False
    source, target = descriptors
    allow_time(limits)
    try:
        answer = _answer(source, target, parse(line), limits)
    finally:
        os.close(source)
        os.close(target)
    send(channel, answer)
    return True


def _answer(source: int, target: int, request: Message, limits: Limits) -> Message:
    with os.fdopen(source, "rb", closefd=False) as file:
        file.seek(0)
        try:
            image, sizes = decode(file, Wanted(**request), limits)
            _write(image, target)
        except Refused as refusal:
            return {"refused": refusal.code}
    return asdict(sizes)


def _write(image: Image.Image, target: int) -> None:
    """In strips, because Pillow keeps four bytes per pixel and a whole second copy with three would be large."""
    row = image.width * 3
    rows = max(1, STRIP_BYTES // row)
    with mmap.mmap(target, row * image.height) as memory:
        for top in range(0, image.height, rows):
            strip = image.crop((0, top, image.width, min(top + rows, image.height)))
            memory.write(strip.tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
