"""`media-inference` as a process of its own, on a terminal too."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from media_inference.models.yunet import YUNET_2023MAR


def command_environment(folder: Path) -> dict[str, str]:
    """That of a machine where nothing was ever run, all of it in ``folder``."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DATABASE_DIR": str(folder / "data"),
        "MODELS_DIR": str(folder / "models"),
        "PYTHONUNBUFFERED": "1",
    }


def run_command(
    folder: Path, *arguments: str, settings: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """`media-inference` with these arguments, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "media_inference", *arguments],
        cwd=folder,
        env=command_environment(folder) | dict(settings or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_on_a_terminal(
    folder: Path, columns: int, *arguments: str, settings: Mapping[str, str] | None = None
) -> tuple[int, list[str]]:
    """`media-inference` on a terminal of that width: its exit code, and what stands on the screen, without colours."""
    ours, theirs = pty.openpty()
    environment = command_environment(folder) | {"COLUMNS": str(columns), "TERM": "xterm"} | dict(settings or {})
    command = [sys.executable, "-m", "media_inference", *arguments]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while chunk := _read_terminal(ours):
            shown += chunk
    os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode()).replace("\r\n", "\n")
    return process.returncode, [line.rpartition("\r")[2] for line in plain.splitlines()]


def _read_terminal(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # how a terminal says that nobody writes to it any more
        return b""


@contextmanager
def pulling(folder: Path, settings: Mapping[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """A running `media-inference models pull` of the default detector, killed if it still runs in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "media_inference", "models", "pull", YUNET_2023MAR.name],
        cwd=folder,
        env=command_environment(folder) | dict(settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
