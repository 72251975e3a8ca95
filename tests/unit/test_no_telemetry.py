"""The inference engine tells nobody what it is used for."""

import subprocess
import sys
from pathlib import Path

import pytest

LOOK = """
import os
import {first}
import onnxruntime
for descriptor in os.listdir("/proc/self/fd"):
    place = f"/proc/self/fd/{{descriptor}}"
    if os.path.exists(place) and os.readlink(place).endswith(".db"):
        print(os.readlink(place))
"""


def kept_by(first: str, home: Path) -> list[str]:
    """Databases that the engine opens, and files that it leaves at home, in a process that imports ``first`` before."""
    environment = {"HOME": str(home), "PATH": ""}  # without CI, for there it keeps quiet by itself
    asked = subprocess.run(
        [sys.executable, "-c", LOOK.format(first=first)], env=environment, check=True, capture_output=True, text=True
    )
    return asked.stdout.split() + [str(path) for path in home.rglob("*") if path.is_file()]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is open")
def test_the_engine_keeps_no_record_of_what_it_runs(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    assert kept_by("media_inference.runtime.session", ours) == []
    assert kept_by("os", theirs), "left to itself it keeps one: else this test would see nothing"
