"""What is removed when it was kept for long enough."""

import threading
from pathlib import Path

import pytest

from media_inference.artifacts.local_store import LocalStore
from media_inference.errors import DatabaseUnavailable
from media_inference.processes.caretaker import Caretaker
from media_inference.queue.engine import open_engine
from media_inference.queue.job_records import JobRecords
from media_inference.queue.migrate import migrate


@pytest.fixture
def records(tmp_path: Path) -> JobRecords:
    engine = open_engine(f"sqlite:///{tmp_path}/test.db")
    migrate(engine)
    return JobRecords(engine)


def test_each_kind_of_row_is_trimmed_until_nothing_is_left_to_trim(tmp_path: Path, records: JobRecords) -> None:
    left = {"events": [500, 500, 3, 0], "keys": [0]}
    done = threading.Event()

    def trim_keys() -> int:
        done.set()
        return left["keys"].pop(0)

    trims = {"events": lambda: left["events"].pop(0), "keys": trim_keys}
    caretaker = Caretaker(LocalStore(tmp_path / "jobs"), records, trims)
    caretaker.start()
    assert done.wait(30)
    caretaker.stop()
    assert left == {"events": [], "keys": []}


def test_a_database_that_is_away_does_not_end_the_caretaker(tmp_path: Path, records: JobRecords) -> None:
    done = threading.Event()

    def fail() -> int:
        raise DatabaseUnavailable("locked")

    def succeed() -> int:
        done.set()
        return 0

    caretaker = Caretaker(LocalStore(tmp_path / "jobs"), records, {"events": fail, "keys": succeed})
    caretaker.start()
    assert done.wait(30)
    caretaker.stop()
