"""One holder at a time, also while lock files come and go."""

import multiprocessing
import threading
from pathlib import Path

import pytest

from media_inference.runtime.file_lock import locked


def nobody_waits() -> None:
    pytest.fail("the lock was taken")


def count_up(lock: Path, counter: Path, times: int) -> None:
    """Reads, adds one and writes: not a number is lost as long as one does it at a time."""
    for _ in range(times):
        with locked(lock, lambda: None):
            counter.write_text(str(int(counter.read_text()) + 1))


def test_the_lock_file_is_gone_afterwards(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", nobody_waits):
        assert (tmp_path / "lock").exists()

    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_was_left_behind_keeps_nobody_out(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()

    with locked(tmp_path / "lock", nobody_waits):
        pass


def test_who_waits_is_told_once_and_comes_in_when_the_other_leaves(tmp_path: Path) -> None:
    waiting, inside = threading.Event(), threading.Event()
    told: list[str] = []

    def wait() -> None:
        told.append("waits")
        waiting.set()

    def second() -> None:
        with locked(tmp_path / "lock", wait):
            inside.set()

    thread = threading.Thread(target=second)
    with locked(tmp_path / "lock", nobody_waits):
        thread.start()
        assert waiting.wait(30)
        assert not inside.is_set()
    assert inside.wait(30)
    thread.join()

    assert told == ["waits"]


def test_no_two_processes_are_inside_at_once(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=count_up, args=(tmp_path / "lock", counter, 200)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert counter.read_text() == "600"
