"""Passes that threads share: who goes with whom, in which order, and whose error is whose."""

import gc
import threading
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from media_inference.errors import ErrorCode, PermanentError
from media_inference.jobs.urgency import working_at
from media_inference.models.session import Feed, Tensor
from media_inference.runtime.batcher import BatchedSession, Batcher

PATIENT = 60.0


class Doubling:
    """A graph that doubles; it refuses negative rows, notes each pass, and waits at the gate in each."""

    input_names = ("x",)
    input_shapes = ((None, 2),)
    input_types = ("float32",)
    output_names = ("y",)
    output_shapes = ((None, 2),)

    def __init__(self) -> None:
        self.passes: list[list[float]] = []
        self.inside = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)

    def run(self, feeds: Mapping[str, Feed], *, together: int = 1) -> dict[str, Tensor]:
        assert together == 1
        rows = np.asarray(feeds["x"], np.float32)
        self.passes.append([float(row[0]) for row in rows])
        self.inside.release()
        assert self.gate.acquire(timeout=30)
        if (rows < 0).any():
            raise PermanentError(ErrorCode.INTERNAL, "negative")
        return {"y": rows * 2}

    def let_go(self, passes: int = 100) -> None:
        self.gate.release(passes)


class Crowd:
    """Threads that call one session, known to wait before the next one comes."""

    def __init__(self, *, runs: int = 1, largest: int = 4, patience: float = 0.0) -> None:
        self.graph = Doubling()
        self.batcher = Batcher(runs=runs, patience=patience)
        self.batcher.largest = largest
        self.session = BatchedSession(self.graph, self.batcher)
        self.threads = ThreadPoolExecutor(32)

    def call(self, value: float, *, priority: int = 5, together: int = 16, columns: int = 2) -> "threading.Event":
        calls = self.batcher.calls
        self.results = getattr(self, "results", {})
        done = threading.Event()

        def work() -> None:
            with working_at(priority):
                try:
                    rows = np.full((1, columns), value, np.float32)
                    self.results[value] = float(self.session.run({"x": rows}, together=together)["y"][0, 0])
                except PermanentError as error:
                    self.results[value] = error
                finally:
                    done.set()

        self.threads.submit(work)
        for _ in range(3000):
            if self.batcher.calls > calls or done.is_set():
                return done
            threading.Event().wait(0.005)
        pytest.fail("the call did not come in")


def test_calls_that_wait_while_a_pass_runs_share_the_next_one() -> None:
    crowd = Crowd()
    done = [crowd.call(1)]
    assert crowd.graph.inside.acquire(timeout=30)
    done += [crowd.call(value) for value in (2, 3, 4, 5, 6, 7)]
    crowd.graph.let_go()
    assert all(event.wait(30) for event in done)
    assert crowd.graph.passes == [[1], [2, 3, 4, 5], [6, 7]]
    assert crowd.results == {value: 2 * value for value in range(1, 8)}


def test_the_most_urgent_goes_first_and_takes_others_along() -> None:
    crowd = Crowd(largest=2)
    done = [crowd.call(1)]
    assert crowd.graph.inside.acquire(timeout=30)
    done += [
        crowd.call(2, priority=3),
        crowd.call(3, priority=8),
        crowd.call(4, priority=3),
        crowd.call(5, priority=10),
    ]
    crowd.graph.let_go()
    assert all(event.wait(30) for event in done)
    assert crowd.graph.passes == [[1], [5, 3], [2, 4]]


def test_one_bad_row_fails_alone() -> None:
    crowd = Crowd()
    done = [crowd.call(1)]
    assert crowd.graph.inside.acquire(timeout=30)
    done += [crowd.call(value) for value in (2, -3, 4)]
    crowd.graph.let_go()
    assert all(event.wait(30) for event in done)
    assert crowd.graph.passes == [[1], [2, -3, 4], [2], [-3], [4]]
    assert isinstance(crowd.results.pop(-3), PermanentError)
    assert crowd.results == {1: 2, 2: 4, 4: 8}


def test_an_error_keeps_nothing_of_its_caller_alive() -> None:
    crowd = Crowd()
    crowd.graph.let_go()
    kept = []

    def job() -> None:
        picture = np.zeros((4, 4))
        kept.append(weakref.ref(picture))
        crowd.session.run({"x": np.full((1, 2), -1.0, np.float32)})

    gc.disable()  # what is in a cycle now stays
    try:
        with pytest.raises(PermanentError) as caught:
            job()
        del caught
        assert kept[0]() is None
    finally:
        gc.enable()


def test_rows_that_may_not_be_together_or_have_another_shape_go_by_themselves() -> None:
    crowd = Crowd()
    done = [crowd.call(1)]
    assert crowd.graph.inside.acquire(timeout=30)
    done += [crowd.call(2, together=1), crowd.call(3, columns=3), crowd.call(4), crowd.call(5, together=1)]
    crowd.graph.let_go()
    assert all(event.wait(30) for event in done)
    assert sorted(crowd.graph.passes) == [[1], [2], [3], [4], [5]]


def test_no_more_passes_run_at_once_than_there_may() -> None:
    crowd = Crowd(runs=2, largest=1)
    done = [crowd.call(value) for value in (1, 2, 3)]
    assert crowd.graph.inside.acquire(timeout=30)
    assert crowd.graph.inside.acquire(timeout=30)
    assert len(crowd.graph.passes) == 2
    crowd.graph.let_go()
    assert all(event.wait(30) for event in done)
    assert len(crowd.graph.passes) == 3


def test_a_pass_waits_for_jobs_that_are_under_way_until_it_is_full() -> None:
    crowd = Crowd(patience=PATIENT, largest=2)
    crowd.batcher.company = lambda: 9
    crowd.graph.let_go()
    first = crowd.call(1)
    assert crowd.graph.passes == []
    second = crowd.call(2)
    assert first.wait(30)
    assert second.wait(30)
    assert crowd.graph.passes == [[1, 2]]


def test_a_pass_waits_for_no_longer_than_its_patience() -> None:
    crowd = Crowd(patience=0.01)
    crowd.batcher.company = lambda: 9
    crowd.graph.let_go()
    assert crowd.call(1).wait(30)


def test_nobody_waits_for_company_that_can_not_come_and_the_most_urgent_for_none_at_all() -> None:
    crowd = Crowd(patience=PATIENT)
    crowd.graph.let_go()
    crowd.batcher.company = lambda: 1
    assert crowd.call(1).wait(30)
    crowd.batcher.company = lambda: 9
    assert crowd.call(2, priority=10).wait(30)
