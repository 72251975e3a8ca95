"""The documents of this repository, and the shell commands in them, run as printed."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_MARK = "@@ next block"


def document(name: str) -> str:
    """The text of a document, by its path from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def documents() -> list[Path]:
    """Every document of the repository."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("requirements/*.md"))]


def section(text: str, title: str) -> str:
    """What stands under a heading of the second level."""
    (found,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return str(found)


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, without the indentation of a list that they are in."""
    return [textwrap.dedent(content) for _, found, content in _FENCE.findall(text) if found == language]


def without_blocks(text: str) -> str:
    """The prose alone."""
    return _FENCE.sub("", text)


def table(text: str, *header: str) -> list[list[str]]:
    """The rows of the table that has these columns, without the marks around code."""
    lines = text.splitlines()
    rows = lines[lines.index(f"| {' | '.join(header)} |") + 2 :]
    return [
        [cell.strip().replace("`", "") for cell in row.strip("|").split("|")]
        for row in takewhile(lambda line: line.startswith("|"), rows)
    ]


def reader_environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a reader who has just installed the command: nothing of this machine's settings."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), "LOG_FORMAT": "json", **more}


def run_blocks(commands: Sequence[str], folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Runs blocks one after the other in one shell; returns what each printed. Fails at the first that fails."""
    script = "set -euo pipefail\n" + "".join(f"{block}\necho; echo '{_MARK}'\n" for block in commands)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    printed = [part.strip() for part in done.stdout.split(_MARK)]
    failed = commands[min(len(printed), len(commands)) - 1]
    assert done.returncode == 0, f"exit code {done.returncode} in\n{failed}\n{done.stdout}\n{done.stderr}"
    return printed[: len(commands)]


@contextmanager
def started(command: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """Runs a block in a terminal of its own until Ctrl-C, after which it must end well; yields what it says."""
    said = folder / f"terminal-{len(list(folder.glob('terminal-*')))}"
    with said.open("wb") as log:
        terminal = subprocess.Popen(
            ["bash", "-c", command], cwd=folder, env=dict(environment), stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield said
        assert terminal.poll() is None, said.read_text()
        os.killpg(terminal.pid, signal.SIGINT)
        assert terminal.wait(60) == 0, said.read_text()
    finally:
        if terminal.poll() is None:
            os.killpg(terminal.pid, signal.SIGKILL)
            terminal.wait()
