"""The worker processes of one machine, with real ones."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.processes.database import open_database
from media_inference.processes.workers import WorkerPool
from media_inference.queue.worker_records import WorkerRecords
from media_inference.settings import load_settings
from tests.stands.running_service import BUILT_IN, until

BUILT_IN_MODELS = {name.lower(): model for name, model in BUILT_IN.items()}


def workers_of_this_process() -> list[int]:
    """Their process ids."""
    listing = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    )
    return [int(line.split()[0]) for line in listing.stdout.splitlines() if "worker_process" in line]


def test_a_worker_that_dies_while_the_database_is_away_is_replaced_all_the_same(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, database_dir=tmp_path, media_store_stub=True, **BUILT_IN_MODELS)
    engine = open_database(settings, migrate=True)
    records = WorkerRecords(engine, patience=600)
    pool = WorkerPool(
        settings, engine, 1, outcomes=None, events=None, on_refusal=lambda: pytest.fail("a worker refused")
    )
    pool.start()
    try:
        until(records.alive, lambda workers: len(workers) == 1)
        (pid,) = workers_of_this_process()
        assert os.getsid(pid) == pid, "a Ctrl-C for the supervisor would reach it"
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE queue RENAME TO gone"))
        os.kill(pid, signal.SIGKILL)
        until(records.alive, lambda workers: len(workers) == 2)  # the new one; the old one could not be struck off
    finally:
        pool.stop()
        engine.dispose()
