"""A filter in the kernel that lets through the few system calls that decoding takes.

It is a list of what is allowed. Of the rest, what no decoder would ever ask for kills the process: whoever asks has
taken it over, and would else go on to lie about the next pictures. All other calls fail with EPERM, because libraries
do ask for files out of habit (how many cores are there?) and live with a no.

The program is classic BPF over ``struct seccomp_data`` (linux/seccomp.h, linux/bpf_common.h, linux/audit.h).
"""

import ctypes
import errno
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from media_inference.media.sandbox import libc
from media_inference.media.sandbox.missing import Missing
from media_inference.media.sandbox.protocol import Limits
from media_inference.media.sandbox.system_calls import NEEDED, TELLTALE

SET_MODE_FILTER = 1
TO_ALL_THREADS = 1

ALLOW = 0x7FFF0000
KILL = 0x80000000  # the process; kernels before 4.14 end the thread, and there is but one that could ask
REFUSE = 0x00050000 | errno.EPERM
UNKNOWN = 0x00050000 | errno.ENOSYS

LOAD, IF_EQUAL, IF_ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = (
    0,
    4,
    16,
)  # offsets; of an argument the low half decides, both machines are little-endian

CLONE_THREAD = 0x00010000
PROT_EXEC = 4
F_GETFD, F_GETFL, F_DUPFD_CLOEXEC = 1, 3, 1030


class Machine(NamedTuple):
    """Its AUDIT_ARCH, its column in the tables, and the number of seccomp(2)."""

    architecture: int
    column: int
    seccomp: int


MACHINES = {"x86_64": Machine(0xC000003E, 0, 317), "aarch64": Machine(0xC00000B7, 1, 277)}


class Instruction(NamedTuple):
    """``struct sock_filter``; jumps count the instructions that are left out."""

    code: int
    if_true: int
    if_false: int
    value: int


Program = list[Instruction]


def lock(_limits: Limits, _held: Mapping[str, str]) -> str:
    """No other system call from now on, in no thread. Raises `RuntimeError` when it was taken and does not hold."""
    if sys.platform != "linux":
        raise Missing("only Linux has it")
    name = os.uname().machine
    if name not in MACHINES or sys.maxsize < 1 << 32:
        raise Missing(f"there is no filter for {name}")
    machine = MACHINES[name]
    _install(filter_program(machine, os.getpid()), machine)
    if _error_of_opening() != errno.EPERM:
        raise RuntimeError("the filter of system calls does not hold")
    return f"{len(NEEDED)} allowed"


def _error_of_opening() -> int | None:
    """EPERM when the filter says no; Landlock says EACCES."""
    try:
        os.close(os.open("/", os.O_RDONLY))
    except OSError as error:
        return error.errno
    return None


def filter_program(machine: Machine, pid: int) -> Program:
    """The filter for a process of this id."""
    checks = _checks(pid)
    program = [Instruction(LOAD, 0, 0, ARCHITECTURE), *_unless_equal(machine.architecture, KILL)]
    program.append(Instruction(LOAD, 0, 0, NUMBER))
    for verdict, calls in ((ALLOW, NEEDED), (KILL, TELLTALE)):
        for name, numbers in calls.items():
            number = numbers[machine.column]
            if number is not None:
                program += _when(number, checks.get(name) or [_return(verdict)])
    return [*program, _return(REFUSE)]


def _checks(pid: int) -> Mapping[str, Program]:
    """What is looked at besides the number, for calls that would else do more than decoding takes."""
    return {
        "clone": _if_any_bit(0, CLONE_THREAD, ALLOW, KILL),
        "clone3": [_return(UNKNOWN)],  # its flags lie in memory, which a filter can't read; libraries then take `clone`
        "mmap": _if_any_bit(2, PROT_EXEC, REFUSE, ALLOW),
        "mprotect": _if_any_bit(2, PROT_EXEC, REFUSE, ALLOW),
        "tgkill": _if_one_of(0, [pid], KILL),  # abort() of its own
        "prlimit64": _if_one_of(0, [0, pid], KILL),
        "fcntl": _if_one_of(1, [F_DUPFD_CLOEXEC, F_GETFD, F_GETFL], REFUSE),  # F_SETOWN would send signals
    }


def _if_any_bit(argument: int, bits: int, then: int, otherwise: int) -> Program:
    return [_load(argument), Instruction(IF_ANY_BIT, 0, 1, bits), _return(then), _return(otherwise)]


def _if_one_of(argument: int, values: Sequence[int], otherwise: int) -> Program:
    allowed = [step for value in values for step in _when(value, [_return(ALLOW)])]
    return [_load(argument), *allowed, _return(otherwise)]


def _when(value: int, steps: Program) -> Program:
    """The steps for whoever has this value loaded; they must end in a return."""
    return [Instruction(IF_EQUAL, 0, len(steps), value), *steps]


def _unless_equal(value: int, verdict: int) -> Program:
    return [Instruction(IF_EQUAL, 1, 0, value), _return(verdict)]


def _load(argument: int) -> Instruction:
    return Instruction(LOAD, 0, 0, ARGUMENTS + 8 * argument)


def _return(verdict: int) -> Instruction:
    return Instruction(RETURN, 0, 0, verdict)


class _SockFilter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _SockProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.POINTER(_SockFilter)))


def _install(program: Program, machine: Machine) -> None:
    steps = (_SockFilter * len(program))(*(_SockFilter(*step) for step in program))
    try:
        libc.system_call(
            machine.seccomp, SET_MODE_FILTER, TO_ALL_THREADS, ctypes.byref(_SockProgram(len(program), steps))
        )
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EINVAL}:
            raise Missing("the kernel has none") from error
        raise
