"""The worker processes of one machine, with real ones."""

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.processes.database import open_database
from media_inference.processes.workers import WorkerPool
from media_inference.queue.worker_records import WorkerRecords
from media_inference.settings import load_settings
from media_inference.worker.supervisor import EXIT_CANNOT_START
from tests.stands.running_service import BUILT_IN, service_environment, until, worker_pids

BUILT_IN_MODELS = {name.lower(): model for name, model in BUILT_IN.items()}


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
        (pid,) = worker_pids(os.getpid())
        assert os.getsid(pid) == pid, "a Ctrl-C for the supervisor would reach it"
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE queue RENAME TO gone"))
        os.kill(pid, signal.SIGKILL)
        until(records.alive, lambda workers: len(workers) == 2)  # the new one; the old one could not be struck off
    finally:
        pool.stop()
        engine.dispose()


def test_a_worker_that_finds_no_database_says_so_in_one_line_and_is_not_the_last_to_try(tmp_path: Path) -> None:
    (tmp_path / "inference.db").write_bytes(b"garbage" * 1000)
    ends = [os.pipe() for _ in range(2)]
    descriptors = [reader for reader, _ in ends]
    command = [sys.executable, "-m", "media_inference.processes.worker_process", "--workers", "1"]
    command += ["--work-fd", str(descriptors[0]), "--word-fd", str(descriptors[1])]
    reader, writer = os.pipe()
    ended = subprocess.run(
        [*command, "--reports-fd", str(writer)],
        input="worker-1\n",
        env=service_environment(tmp_path),
        pass_fds=[*descriptors, writer],
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as reports:
        _, status = struct.unpack("=ii", reports.read())
    for end in (end for pair in ends for end in pair):
        os.close(end)
    assert ended.returncode == 0
    assert status not in {0, EXIT_CANNOT_START}
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert "not a database" in ended.stderr
