"""A side in a process of its own, which measures when it is asked: a line of JSON in, a line of JSON out.

This file is the same on both ends, and needs nothing but Python: peers have an environment without this project.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[1]


class SideFailed(Exception):
    """A side did not start, or ended; says what it said last."""


class Child:
    """The measuring end."""

    def __init__(self, process: "subprocess.Popen[str]", said: Path) -> None:
        self._process = process
        self._said = said
        self.pid = process.pid

    def ask(self, **question: Any) -> Json:
        """One measurement. Raises `SideFailed`."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None
        answer = self._process.stdout.readline()
        if not answer:
            raise self._failed()
        return dict(json.loads(answer))

    def _failed(self) -> SideFailed:
        lines = self._said.read_text(errors="replace").strip().splitlines()
        return SideFailed(lines[-1] if lines else f"it ended with {self._process.wait()}")


@contextmanager
def child(
    module: str, arguments: Sequence[object], folder: Path, *, python: Path | str = sys.executable
) -> Iterator[Child]:
    """Starts ``python -m module`` and ends it; what it says goes to a file in ``folder``."""
    said = folder / f"{module}.log"
    with said.open("wb") as log:
        process = subprocess.Popen(
            [python, "-m", module, *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with process:
        try:
            yield Child(process, said)
            assert process.stdin
            process.stdin.close()
            process.wait(30)
        finally:
            process.kill()


def answer_questions(answer: Callable[..., Mapping[str, Any]]) -> None:
    """The other end: answers each question until no more come. Whatever else is printed goes to stderr."""
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        out.write(json.dumps(answer(**json.loads(line))) + "\n")
        out.flush()
