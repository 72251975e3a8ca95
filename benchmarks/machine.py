"""On what, with what and when something was measured."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.child import ROOT
from media_inference.processes.cores import usable_cores

PACKAGES = ("media-inference", "onnxruntime", "numpy", "pillow", "fastapi", "uvicorn", "sqlalchemy", "pysqlite3")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """``load``: the average over a minute when the benchmark began; above 0.5 somebody else was at work."""

    at: str
    commit: str
    processor: str
    cores: int
    memory_gb: float
    system: str
    load: float
    versions: dict[str, str]


def circumstances() -> Circumstances:
    """As they are now."""
    return Circumstances(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=_commit(),
        processor=_processor(),
        cores=usable_cores(),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        system=f"{platform.system()} {platform.release()}",
        load=round(os.getloadavg()[0], 2),
        versions={"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    )


def _commit() -> str:
    """The commit of the checkout, with a ``+`` where files differ from it."""
    command = ["git", "describe", "--always", "--abbrev=10", "--dirty=+"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
