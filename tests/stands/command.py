"""The command line, as an operator uses it beside a service."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.stands.running_service import service_environment


def media_inference(
    folder: Path, *arguments: str | Path, settings: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Runs one command on the data in ``folder``/data."""
    return subprocess.run(
        [sys.executable, "-m", "media_inference", *map(str, arguments)],
        cwd=folder,
        env=service_environment(folder / "data") | dict(settings or {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def audit(folder: Path, *options: str, settings: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """Exit code and report of an audit."""
    done = media_inference(folder, "audit", "--json", *options, settings=settings)
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, json.loads(done.stdout)
