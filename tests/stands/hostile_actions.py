"""What foreign code would do in a decoder's child. Each returns what it brought home, and does nothing lasting.

Named by `hostile_child.hostile_photo`; the facts come from the photo.
"""

import ctypes
import fcntl
import itertools
import mmap
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

CHANNEL = -1
"""Its socket."""

LOADED_BEFORE: set[str] = set()
"""Modules that were there when the guards closed."""

LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
F_SETSIG = 10
DONE = b"done"


def open_a_file(path: str) -> bytes:
    """Reads it."""
    descriptor = os.open(path, os.O_RDONLY)
    return os.read(descriptor, 1000)


def look_at_a_file(path: str) -> bytes:
    """Its size, without opening it."""
    return str(Path(path).stat().st_size).encode()


def write_a_file(path: str, size: int) -> bytes:
    """Leaves one behind."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    for _ in range(0, size, 1024):
        os.write(descriptor, bytes(1024))
    return DONE


def connect_over_tcp(port: int) -> bytes:
    """To a server of this machine."""
    with socket.socket() as there:
        there.connect(("127.0.0.1", port))
        return there.recv(100)


def connect_to_a_path(path: str) -> bytes:
    """To a Unix socket with a path, or an abstract one."""
    with socket.socket(socket.AF_UNIX) as there:
        there.connect(path.replace("@", "\0"))
        return there.recv(100)


def fork_a_bomb(processes: int) -> bytes:
    """A small one: as many as there may be, up to so many, that stop until the last of them is there."""
    made: list[int] = []
    try:
        for _ in range(processes):
            made.append(os.fork())
            if made[-1] == 0:
                signal.pause()
    finally:
        for process in made:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
    return str(len(made)).encode()


def start_threads(threads: int) -> bytes:
    """So many at once."""
    enough = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(threads):
            started.append(threading.Thread(target=enough.wait))
            started[-1].start()
    finally:
        enough.set()
        for thread in started[:-1]:
            thread.join()
    return str(len(started)).encode()


def run_a_program(path: str) -> bytes:
    """In its own place: a shell that leaves a file behind."""
    os.execv("/bin/sh", ["sh", "-c", f": > {path}"])  # noqa: S606  # that is the attack


def read_the_parents_memory(address: int, size: int) -> bytes:
    """By its file in /proc."""
    descriptor = os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY)
    return os.pread(descriptor, size, address)


def copy_the_parents_memory(address: int, size: int) -> bytes:
    """By the system call for it."""
    buffer = ctypes.create_string_buffer(size)
    vectors = [(ctypes.c_size_t * 2)(start, size) for start in (ctypes.addressof(buffer), address)]
    if LIBC.process_vm_readv(os.getppid(), vectors[0], 1, vectors[1], 1, 0) != size:
        raise OSError(ctypes.get_errno(), "process_vm_readv")
    return buffer.raw


def trace_the_parent() -> bytes:
    """As a debugger would. Lets it go at once: it would stop at its next signal."""
    parent = os.getppid()
    _trace(PTRACE_SEIZE, parent)
    _trace(PTRACE_INTERRUPT, parent)
    os.waitpid(parent, 0)
    _trace(PTRACE_DETACH, parent)
    return DONE


def _trace(request: int, process: int) -> None:
    if LIBC.ptrace(request, process, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def read_the_parents_environment() -> bytes:
    """As it was when the parent started."""
    return open_a_file(f"/proc/{os.getppid()}/environ")


def signal_the_parent(number: int) -> bytes:
    """Instead of a signal that kills, one that the test's process takes."""
    os.kill(os.getppid(), number)
    return DONE


def signal_the_parent_by_its_socket(number: int) -> bytes:
    """Makes the kernel send it, when the parent speaks while the child is not listening."""
    fcntl.fcntl(CHANNEL, F_SETSIG, number)
    fcntl.fcntl(CHANNEL, fcntl.F_SETOWN, os.getppid())
    fcntl.fcntl(CHANNEL, fcntl.F_SETFL, fcntl.fcntl(CHANNEL, fcntl.F_GETFL) | os.O_ASYNC)
    return DONE


def take_memory(size: int) -> bytes:
    """Of its own address space."""
    return DONE if len(bytes(size)) == size else b""  # untouched, so that it costs nothing where it is given


def take_memory_in_a_file(size: int) -> bytes:
    """Which no limit on address space counts."""
    descriptor = os.memfd_create("more")
    os.posix_fallocate(descriptor, 0, size)
    os.close(descriptor)
    return DONE


def spin(seconds: float, *, deaf: bool = False) -> bytes:
    """Burns CPU time; deaf to the kernel's warning if told so."""
    if deaf:
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return DONE


def hang() -> bytes:
    """Until somebody ends it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGXCPU})
    while True:
        time.sleep(1)


def spin_after_the_answer() -> bytes:
    """Answers like an honest decoder and goes on burning."""
    threading.Thread(target=lambda: [None for _ in itertools.count()], daemon=True).start()
    return DONE


def flood_with_descriptors(count: int) -> bytes:
    """So many copies of one that it has."""
    held: list[int] = []
    try:
        while len(held) < count:
            held.append(fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 0))
    finally:
        for descriptor in held:
            os.close(descriptor)
    return str(len(held)).encode()


def keep_the_pixels() -> bytes:
    """Keeps the memory for the pixels of each photo without mapping it; returns of how many it has it by now."""
    kept = [number for number in range(3, 64) if number != CHANNEL and _size_of(number) > 1 << 20]
    fcntl.fcntl(kept[-1], fcntl.F_DUPFD_CLOEXEC, 0)
    return str(len(kept)).encode()


def _size_of(number: int) -> int:
    try:
        return os.lseek(number, 0, os.SEEK_END)
    except OSError:
        return 0


def answer(line: str, *, times: int = 1) -> bytes:
    """Speaks in the child's place, before it does."""
    for _ in range(times):
        os.write(CHANNEL, line.encode())
    return DONE


def crash() -> bytes:
    """As a bad pointer would."""
    os.abort()


def make_new_code() -> bytes:
    """Memory that can be written and run."""
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    return DONE


def tell_what_was_loaded_late() -> bytes:
    """Modules that came after the guards."""
    return ", ".join(sorted(set(sys.modules) - LOADED_BEFORE)).encode() or b"nothing"
