"""The thread that renews a worker's lease."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.jobs.job import Claim, NewJob
from media_inference.queue.engine import open_engine
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.leases import LeaseWatch
from media_inference.queue.migrate import migrate
from media_inference.queue.tables import queue
from media_inference.queue.worker_records import WorkerRecord, WorkerRecords
from media_inference.worker.lease import EXIT_HUNG, LeaseKeeper
from media_inference.worker.lease_guard import LeaseGuard


class Beats:
    """A keeper of one claim on a real database."""

    def __init__(self, folder: Path, job_timeout: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.engine = open_engine(f"sqlite:///{folder}/test.db")
        migrate(self.engine)
        self.queue = JobQueue(self.engine)
        self.records = WorkerRecords(self.engine, patience=30)
        self.records.arrive(WorkerRecord("w", "cpu", {}))
        self.queue.submit(NewJob("t", "1"))
        claim = self.queue.claim("w")
        assert claim is not None
        self.claim: Claim = claim
        self.ended_with: list[int] = []
        self.ended = threading.Event()
        self.keeper = LeaseKeeper(
            self.queue,
            self.records,
            "w",
            interval=0.02,
            job_timeout=job_timeout,
            end_process=self.end,
            monotonic=monotonic,
        )

    def end(self, status: int) -> None:
        self.ended_with.append(status)
        self.ended.set()

    def beat(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.scalar(sa.select(queue.c.lease_beat)) or 0)

    def wait_for_beat(self, at_least: int) -> None:
        for _ in range(3000):
            if self.beat() >= at_least:
                return
            threading.Event().wait(0.01)
        pytest.fail(f"no beat {at_least}")


@contextmanager
def holding(beats: Beats) -> Iterator[None]:
    beats.keeper.hold(beats.claim)
    yield
    beats.keeper.let_go(beats.claim)


def test_a_held_claim_is_renewed_again_and_again(tmp_path: Path) -> None:
    beats = Beats(tmp_path, job_timeout=600)
    beats.keeper.start()
    with holding(beats):
        beats.wait_for_beat(3)
    beats.keeper.stop()
    assert beats.ended_with == []


def test_a_job_that_runs_for_too_long_ends_the_process_and_is_not_renewed(tmp_path: Path) -> None:
    beats = Beats(tmp_path, job_timeout=0.0)
    beats.keeper.start()
    with holding(beats):
        assert beats.ended.wait(30)
    beats.keeper.stop()
    assert beats.ended_with[0] == EXIT_HUNG
    assert beats.beat() == 0


def test_a_worker_that_holds_nothing_is_still_seen_alive(tmp_path: Path) -> None:
    beats = Beats(tmp_path, job_timeout=600)
    beats.keeper.start()
    assert [worker.worker_id for worker in beats.records.alive()] == ["w"]
    beats.keeper.stop()
    beats.records.leave("w")
    assert beats.records.alive() == []


def test_the_guard_takes_a_silent_lease_back_and_names_its_worker(tmp_path: Path) -> None:
    beats = Beats(tmp_path, job_timeout=600)
    silent: list[str] = []
    heard = threading.Event()

    def on_silence(worker_id: str) -> None:
        silent.append(worker_id)
        heard.set()

    guard = LeaseGuard(LeaseWatch(beats.engine, patience=0.1), beats.queue, 0.02, on_silence)
    guard.start()
    assert heard.wait(30)
    guard.stop()
    assert silent == ["w"]
    assert beats.queue.renew(beats.claim) == 0
    again = beats.queue.claim("other")
    assert again is not None
    assert again.job_id == beats.claim.job_id


def test_a_job_that_hangs_ends_the_process_also_while_the_database_is_away(tmp_path: Path) -> None:
    beats = Beats(tmp_path, job_timeout=0.0)
    with beats.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE workers RENAME TO gone"))
    beats.keeper.start()
    with holding(beats):
        assert beats.ended.wait(30)
    beats.keeper.stop()


def test_a_job_may_take_all_of_its_time_and_not_more(tmp_path: Path) -> None:
    now = [5000.0]
    beats = Beats(tmp_path, job_timeout=100.0, monotonic=lambda: now[0])
    beats.keeper.start()
    with holding(beats):
        now[0] += 100.0
        beats.wait_for_beat(beats.beat() + 2)
        assert beats.ended_with == []
        now[0] += 0.001
        assert beats.ended.wait(30)
    beats.keeper.stop()


def test_when_one_job_hangs_the_others_are_put_back_so_that_it_alone_is_charged(tmp_path: Path) -> None:
    now = [5000.0]
    beats = Beats(tmp_path, job_timeout=100.0, monotonic=lambda: now[0])
    beats.keeper.hold(beats.claim)
    now[0] += 50.0
    beats.queue.submit(NewJob("t", "2"))
    young = beats.queue.claim("w")
    assert young is not None
    beats.keeper.hold(young)
    now[0] += 50.001
    beats.keeper.start()
    assert beats.ended.wait(30)
    beats.keeper.stop()
    assert beats.queue.charge_worker("w") == [beats.claim.job_id]
    again = beats.queue.claim("other")
    assert again is not None
    assert (again.job_id, again.attempt) == (young.job_id, 1)
