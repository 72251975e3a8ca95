"""What a process tree has used."""

import subprocess
import sys
import time

import pytest

from benchmarks.process_tree import cpu_seconds, resident_mb

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells it")

BURN = "import time\nwhile time.process_time() < 0.4: pass\n"
STAY = "print('burnt', flush=True)\ninput()\n"
PARENT = f"""
import subprocess, sys
gone = subprocess.run([sys.executable, "-c", {BURN!r}])
child = subprocess.Popen([sys.executable, "-c", {BURN + STAY!r}], stdin=subprocess.PIPE)
sys.stdin.read()
child.stdin.close()
child.wait()
"""


def test_cpu_time_is_that_of_the_whole_tree_with_those_who_ended() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout
        assert parent.stdout.readline() == "burnt\n"
        assert 0.75 < cpu_seconds(parent.pid) < 5
        assert 3 < resident_mb(parent.pid) < 200


def test_a_process_that_is_gone_used_nothing() -> None:
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    begun = time.perf_counter()
    assert cpu_seconds(gone.pid) == 0
    assert time.perf_counter() - begun < 1
