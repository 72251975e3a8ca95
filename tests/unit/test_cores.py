"""How many threads a worker's networks get."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from media_inference.processes.cores import usable_cores

HERE = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def cgroup(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, HERE),
        ({"cpu.max": "max 100000\n"}, HERE),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "99000000 100000\n"}, HERE),
        ({"cpu.max": "1000 100000\n"}, 1),
        ({"cpu.max": "nonsense"}, HERE),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, HERE),
    ],
)
def test_a_containers_share_of_time_counts(tmp_path: Path, files: dict[str, str], cores: int) -> None:
    assert usable_cores(cgroup(tmp_path, files)) == cores


def test_a_share_of_one_core_and_a_half_is_two_threads(tmp_path: Path) -> None:
    assert usable_cores(cgroup(tmp_path, {"cpu.max": "150000 100000\n"})) == min(2, HERE)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux binds a process to cores")
def test_a_process_bound_to_one_core_counts_one() -> None:
    core = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{core}}})\n"
    code += "from media_inference.processes.cores import usable_cores; print(usable_cores())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
