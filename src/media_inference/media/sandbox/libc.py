"""The system calls that Python has no function for."""

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, argument: int = 0) -> int:
    """``prctl(2)`` with one number. Raises `OSError`."""
    return _checked(_LIBC.prctl(option, *map(ctypes.c_ulong, (argument, 0, 0, 0))))


def unshare(flags: int) -> None:
    """``unshare(2)``. Raises `OSError`."""
    _checked(_LIBC.unshare(flags))


def capset(header: ctypes.Array[ctypes.c_uint32], data: ctypes.Array[ctypes.c_uint32]) -> None:
    """``capset(2)``. Raises `OSError`."""
    _checked(_LIBC.capset(header, data))


def capget(header: ctypes.Array[ctypes.c_uint32], data: ctypes.Array[ctypes.c_uint32]) -> None:
    """``capget(2)``, into ``data``. Raises `OSError`."""
    _checked(_LIBC.capget(header, data))


def system_call(number: int, *arguments: object) -> int:
    """``syscall(2)``; pointers as ctypes objects, None for a null pointer. Raises `OSError`."""
    _LIBC.syscall.restype = ctypes.c_long
    wide = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    return _checked(_LIBC.syscall(ctypes.c_long(number), *wide))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
