"""Failpoints: nothing in production, everything in a storm."""

import subprocess
import sys
from timeit import repeat

import pytest

from media_inference.failpoints import Failpoint, failpoint, install, uninstall


def test_nothing_is_installed_in_production() -> None:
    code = (
        "import media_inference.processes.up, media_inference.processes.worker_process;"
        "from media_inference import failpoints; print(failpoints._installed)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"


def test_a_failpoint_costs_less_than_a_thousandth_of_the_quickest_job() -> None:
    seconds = min(repeat(lambda: failpoint(Failpoint.FIND_AFTER, "1"), number=10_000, repeat=5)) / 10_000
    assert seconds < 5e-6


def test_who_is_installed_is_told_of_every_point_and_may_raise() -> None:
    told = []

    def strike(point: Failpoint, subject: str) -> None:
        told.append((point, subject))
        raise OSError("struck")

    install(strike)
    try:
        with pytest.raises(OSError, match="struck"):
            failpoint(Failpoint.STAGE_AFTER, "7")
    finally:
        uninstall(strike)
    failpoint(Failpoint.STAGE_AFTER, "8")
    assert told == [(Failpoint.STAGE_AFTER, "7")]
