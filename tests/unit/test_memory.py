"""How the C library keeps memory that was freed. That memory is given back: `test_resting_session.py`."""

import subprocess
import sys

import pytest

HEAPS = """
import ctypes, os, sys, threading
from media_inference.runtime.memory import share_one_heap

if sys.argv[1] == "shared":
    share_one_heap()
barrier = threading.Barrier(4)

def take():
    barrier.wait()
    ctypes.create_string_buffer(100_000)
    barrier.wait()

threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b"w")))
libc.fflush(None)
"""


def heaps(how: str) -> int:
    """Heaps of a process in which four threads took memory, as glibc tells (malloc_info(3))."""
    told = subprocess.run([sys.executable, "-c", HEAPS, how], check=True, capture_output=True, text=True).stdout
    return told.count("<heap nr=")


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's own functions")
def test_threads_share_one_heap() -> None:
    assert heaps("shared") == 1
    assert heaps("as they come") > 1, "left to itself each thread has one: else this test would see nothing"
