"""The filter of system calls, asked call by call, for both machines that it knows."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from media_inference.media.sandbox.seccomp import ALLOW, KILL, MACHINES, REFUSE, UNKNOWN, Machine, filter_program
from media_inference.media.sandbox.system_calls import NEEDED, TELLTALE
from tests.stands.filter_machine import verdict

PID, OTHER = 4711, 1
I386 = 0x40000003
X32 = 0x40000000

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
LOOKED_AT = {"clone", "clone3", "mmap", "mprotect", "tgkill", "prlimit64", "fcntl"}

# open, openat, stat, newfstatat, readlink, access, getcwd, ioctl, dup, pipe2, statx, openat2, faccessat2
REFUSED = {"x86_64": (2, 257, 4, 262, 89, 21, 79, 16, 32, 293, 332, 437, 439), "aarch64": (56, 79, 78, 48, 17, 29, 23)}

EACH_MACHINE = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
Ask = Callable[..., int]


def _asked(machine: Machine) -> Ask:
    program = filter_program(machine, PID)
    assert len(program) <= 4096, "the kernel takes no more"

    def ask(name: str, *arguments: int) -> int:
        number = (NEEDED | TELLTALE)[name][machine.column]
        assert number is not None
        return verdict(program, machine.architecture, number, arguments)

    return ask


@EACH_MACHINE
def test_what_decoding_takes_is_allowed(machine: Machine) -> None:
    ask = _asked(machine)
    assert {name for name in NEEDED if name not in LOOKED_AT and ask(name) != ALLOW} == set()


@EACH_MACHINE
def test_what_no_decoder_asks_for_kills(machine: Machine) -> None:
    ask = _asked(machine)
    there = [name for name, numbers in TELLTALE.items() if numbers[machine.column] is not None]
    assert {name for name in there if ask(name) != KILL} == set()


@pytest.mark.parametrize("name", MACHINES)
def test_what_libraries_ask_out_of_habit_is_refused(name: str) -> None:
    machine = MACHINES[name]
    program = filter_program(machine, PID)
    assert {verdict(program, machine.architecture, number) for number in REFUSED[name]} == {REFUSE}
    assert verdict(program, machine.architecture, 1000) == REFUSE, "a call of tomorrow"


@EACH_MACHINE
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("clone", [0x3D0F00], ALLOW),  # as a C library starts a thread
        ("clone", [0x1200011], KILL),  # as it forks
        ("clone", [0], KILL),
        ("clone3", [0], UNKNOWN),
        ("mmap", [0, 4096, 3], ALLOW),
        ("mmap", [0, 4096, 7], REFUSE),
        ("mprotect", [0, 4096, 1], ALLOW),
        ("mprotect", [0, 4096, 5], REFUSE),
        ("tgkill", [PID, PID, 6], ALLOW),
        ("tgkill", [OTHER, OTHER, 9], KILL),
        ("tgkill", [-1, OTHER, 9], KILL),
        ("prlimit64", [0, 0], ALLOW),
        ("prlimit64", [PID, 0], ALLOW),
        ("prlimit64", [OTHER, 0], KILL),
        ("fcntl", [3, 1030], ALLOW),  # F_DUPFD_CLOEXEC
        ("fcntl", [3, 8], REFUSE),  # F_SETOWN
        ("fcntl", [3, 10], REFUSE),  # F_SETSIG
        ("fcntl", [3, 4], REFUSE),  # F_SETFL
        ("fcntl", [3, 1026], REFUSE),  # F_NOTIFY
    ],
)
def test_of_some_calls_the_arguments_decide(
    machine: Machine, name: str, arguments: Sequence[int], expected: int
) -> None:
    assert _asked(machine)(name, *arguments) == expected


@EACH_MACHINE
def test_calls_of_another_architecture_kill(machine: Machine) -> None:
    program = filter_program(machine, PID)
    for other in {I386, 0x40000028, *(known.architecture for known in MACHINES.values())} - {machine.architecture}:
        assert verdict(program, other, NEEDED["read"][machine.column] or 0) == KILL


def test_no_call_gets_through_by_its_x32_number() -> None:
    machine = MACHINES["x86_64"]
    program = filter_program(machine, PID)
    numbers = [numbers[0] for numbers in (NEEDED | TELLTALE).values()]
    assert {verdict(program, machine.architecture, X32 | number) for number in numbers} == {REFUSE}


@pytest.mark.parametrize("name", MACHINES)
def test_the_numbers_are_those_of_the_kernels_headers(name: str) -> None:
    header = HEADERS[name]
    if not header.exists():
        pytest.skip(f"the kernel's header {header} is not installed")
    found = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", header.read_text(), re.MULTILINE)
    real = {call: int(number) for call, number in found}
    column = MACHINES[name].column
    told = {call: numbers[column] for call, numbers in (NEEDED | TELLTALE).items() if numbers[column] is not None}
    assert told == {call: real.get(call) for call in told}
