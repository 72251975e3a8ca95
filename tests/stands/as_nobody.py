"""``python -m tests.stands.as_nobody``: a decoder of a user who is not root; prints what guards its child.

Root becomes such a user, with nothing but the right to reach the interpreter, which may lie in root's own folders.
"""

import ctypes
import dataclasses
import json
import os
import sys

from media_inference.media.decoder import Decoder
from media_inference.media.sandbox import libc
from tests.stands.pictures import png

NOBODY = 12_345
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT, RAISE = 47, 2
CAP_DAC_READ_SEARCH = 2
HEADER = (ctypes.c_uint32 * 2)(0x20080522, 0)


def main() -> None:
    """Decodes one picture and says how."""
    if os.geteuid() == 0:
        _leave_root()
    decoder = Decoder()
    greeting = decoder.warm()
    assert decoder.decode(png(40, 30)).width == 40
    (pid,) = decoder.pids
    sys.stdout.write(json.dumps({**dataclasses.asdict(greeting.guards), "pid": pid}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    decoder.close()


def _leave_root() -> None:
    libc.prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    one = 1 << CAP_DAC_READ_SEARCH
    libc.capset(HEADER, (ctypes.c_uint32 * 6)(one, one, one, 0, 0, 0))
    ctypes.CDLL(None).prctl(PR_CAP_AMBIENT, *map(ctypes.c_ulong, (RAISE, CAP_DAC_READ_SEARCH, 0, 0)))


if __name__ == "__main__":
    main()
