"""Classic BPF as the kernel runs it for seccomp, so that a filter for another machine can be asked as well."""

from collections.abc import Sequence

from media_inference.media.sandbox.seccomp import (
    ARCHITECTURE,
    ARGUMENTS,
    IF_ANY_BIT,
    IF_EQUAL,
    LOAD,
    NUMBER,
    RETURN,
    Program,
)


def verdict(program: Program, architecture: int, number: int, arguments: Sequence[int] = ()) -> int:
    """What the filter says of a system call. Raises for programs that the kernel would not take."""
    data = {ARCHITECTURE: architecture, NUMBER: number}
    data |= {ARGUMENTS + 8 * place: value & 0xFFFFFFFF for place, value in enumerate([*arguments, *[0] * 6][:6])}
    at = loaded = 0
    while True:
        step = program[at]
        at += 1
        if step.code == RETURN:
            return step.value
        if step.code == LOAD:
            loaded = data[step.value]
        elif step.code in {IF_EQUAL, IF_ANY_BIT}:
            yes = loaded == step.value if step.code == IF_EQUAL else loaded & step.value
            at += step.if_true if yes else step.if_false
            assert 0 <= step.if_true < 256
            assert 0 <= step.if_false < 256
        else:
            raise ValueError(f"no instruction: {step}")
