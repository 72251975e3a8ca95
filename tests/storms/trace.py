"""What `strace` saw a process do with its database's log and its clients' connections, in the order in which it did."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

# Calls that begin and end on lines of their own, when another thread came in between, are told by where they end.
CALLS = "fsync,fdatasync,pwrite64,write,writev,sendto,sendmsg,read,recvfrom,recvmsg"

_LINE = re.compile(r"^(?P<thread>\d+) +(?:<\.\.\. )?(?P<call>\w+)(?P<rest>.*)$")
_ON_FILE = re.compile(r"^\((?P<descriptor>\d+)<(?P<file>[^>]*)>")


class Step(StrEnum):
    """What matters of it."""

    ASKED = "asked"
    LOGGED = "logged"
    SYNCED = "synced"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Seen:
    """One step. ``descriptor``: of the connection, or of the log."""

    step: Step
    thread: int
    descriptor: int


def command(output: Path) -> Sequence[str]:
    """Runs what follows it under `strace`, which is no parent of it and gets no signals of it."""
    return (
        "strace",
        "-D",
        "-f",
        "-qq",
        "-y",
        "-s",
        "64",
        "-e",
        f"trace={CALLS}",
        "-e",
        "signal=none",
        "-o",
        str(output),
    )


def steps(output: Path) -> Iterator[Seen]:
    """The steps in order. A step has its place where its call was done; an answer, where its call began."""
    begun: dict[int, tuple[str, str]] = {}
    for line in output.read_text(errors="replace").splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        thread, call, rest = int(found["thread"]), found["call"], found["rest"]
        if rest.endswith("<unfinished ...>"):
            begun[thread] = call, rest
            if _is_answer(call, rest):
                yield _seen(Step.ANSWERED, thread, rest)
            continue
        if rest.startswith(" resumed>"):
            call, before = begun.pop(thread)
            if _is_answer(call, before):
                continue
            rest = before.removesuffix("<unfinished ...>") + rest.removeprefix(" resumed>")
        step = _step(call, rest)
        if step is not None:
            yield _seen(step, thread, rest)


def _step(call: str, rest: str) -> Step | None:
    on = _ON_FILE.match(rest)
    if on is None or rest.rpartition("= ")[2].startswith("-1"):
        return None
    if on["file"].endswith("-wal"):
        return Step.SYNCED if call in {"fsync", "fdatasync"} else Step.LOGGED if "write" in call else None
    if _is_answer(call, rest):
        return Step.ANSWERED
    return Step.ASKED if call.startswith(("read", "recv")) and '"POST /job/' in rest else None


def _is_answer(call: str, rest: str) -> bool:
    return call.startswith(("write", "send")) and '"HTTP/1.1 201 ' in rest


def _seen(step: Step, thread: int, rest: str) -> Seen:
    on = _ON_FILE.match(rest)
    assert on is not None, rest
    return Seen(step, thread, int(on["descriptor"]))
