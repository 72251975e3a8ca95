"""The decoder's child: takes pictures from a socket until the other end closes it.

Started by `media.guarded_child` as ``python -I -m media_inference.media.sandbox.child DESCRIPTOR LIMITS``.
"""

import faulthandler
import io
import mmap
import os
import socket
import sys
from dataclasses import asdict

import pi_heif
import PIL
from PIL import Image

from media_inference.errors import ErrorCode
from media_inference.media.sandbox.decode import Refused, decode, load_decoders
from media_inference.media.sandbox.guards import confine
from media_inference.media.sandbox.limits import allow_time
from media_inference.media.sandbox.protocol import LONGEST_MESSAGE, Greeting, Limits, Message, Wanted, parse, send
from media_inference.media.sandbox.spare_memory import give_back, keep_blocks

STRIP_BYTES = 128 * 1024
POPULATED = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
"""All pages at once, where the system can: one by one they cost more than what is written into them."""


def main(descriptor: str, limits_json: str) -> None:
    """Serves pictures until the parent is gone."""
    faulthandler.enable()
    limits = Limits.from_json(limits_json)
    load_decoders(limits)
    keep_blocks()
    Image.preinit()  # Pillow's own list, which it would load with the first picture, when nothing can be loaded
    with socket.socket(fileno=int(descriptor)) as channel:
        guards = confine(limits)
        send(channel, Greeting(guards, _libraries()).to_message())
        while _serve_one(channel, limits):
            pass


def _libraries() -> dict[str, str]:
    return {"Pillow": PIL.__version__, "libheif": pi_heif.libheif_version()}


def _serve_one(channel: socket.socket, limits: Limits) -> bool:
    line, descriptors, _, _ = socket.recv_fds(channel, LONGEST_MESSAGE, 2)
    if not line:
        return False
    source, target = descriptors
    try:
        allow_time(limits)
        answer = _answer(source, target, Wanted(**parse(line)), limits)
    finally:
        os.close(source)
        os.close(target)
    if "refused" in answer:  # not after each picture: the next one would have to be given all its memory anew
        give_back()  # and before the answer, with which the parent stops this process
    send(channel, answer)
    return True


def _answer(source: int, target: int, wanted: Wanted, limits: Limits) -> Message:
    try:
        # From memory: libraries would ask the system about a descriptor, which answers nothing here.
        file = io.BytesIO(os.pread(source, os.lseek(source, 0, os.SEEK_END), 0))
        image, sizes = decode(file, wanted, limits)
        _write(image, target)
    except Refused as refusal:
        return {"refused": refusal.code}
    except MemoryError:
        return {"refused": ErrorCode.IMAGE_TOO_LARGE}
    return asdict(sizes)


def _write(image: Image.Image, target: int) -> None:
    """In strips that fit a cache: Pillow has four bytes per pixel, and a second copy with three would be large."""
    row = image.width * 3
    rows = max(1, STRIP_BYTES // row)
    with mmap.mmap(target, row * image.height, flags=POPULATED) as memory:
        for top in range(0, image.height, rows):
            strip = image.crop((0, top, image.width, min(top + rows, image.height)))
            memory.write(strip.tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
