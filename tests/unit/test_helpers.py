"""Threads of the engine that help a pass only while it is alone: real sessions, real threads."""

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import onnxruntime as ort
import pytest

from media_inference.models.graphs.graph import Graph
from media_inference.runtime.helpers import Passes
from media_inference.runtime.session import OrtSession
from tests.stands.doubling_graph import doubling_graph
from tests.stands.running_service import until
from tests.stands.vit_b_32 import vit_b_32_graph

HANGS = 60.0
"""Seconds after which a process surely never ends."""
PICTURES = np.random.default_rng(7).random((2, 3, 224, 224), dtype=np.float32)


class Session:
    """What owns an engine."""


@pytest.fixture(scope="module")
def graph() -> bytes:
    return vit_b_32_graph(layers=2)


def passes_of(session: OrtSession, count: int) -> Callable[[], float]:
    """Passes one after the other; what they took of their own thread, in seconds."""

    def run() -> float:
        begun = time.thread_time()
        for _ in range(count):
            session.run({session.input_names[0]: PICTURES})
        return time.thread_time() - begun

    return run


def share_of_helpers(*runs: Callable[[], float]) -> float:
    """What others than the threads that ask take of the CPU time, when all ask at once."""
    with ThreadPoolExecutor(len(runs)) as pool:
        begun = time.process_time()
        own = sum(asked.result() for asked in [pool.submit(run) for run in runs])
        return 1 - own / (time.process_time() - begun)


def test_a_pass_that_is_alone_is_helped_and_two_are_not(graph: bytes) -> None:
    passes = Passes(held=1)
    first, second = (OrtSession(graph, model="any", threads=2, passes=passes) for _ in range(2))
    until(lambda: share_of_helpers(passes_of(first, 5)), lambda share: share > 0.2)
    same_session = until(lambda: share_of_helpers(*[passes_of(first, 20)] * 2), lambda share: share < 0.15)
    two_sessions = until(
        lambda: share_of_helpers(passes_of(first, 20), passes_of(second, 20)), lambda share: share < 0.15
    )
    assert max(same_session, two_sessions) < 0.15
    assert until(lambda: share_of_helpers(passes_of(second, 5)), lambda share: share > 0.2)


def test_who_is_helped_gets_the_same_vectors(graph: bytes) -> None:
    plain = OrtSession(graph, model="any", threads=1)
    helped = OrtSession(graph, model="any", threads=2, passes=Passes(held=1))
    feeds = {plain.input_names[0]: PICTURES}
    expected = plain.run(feeds)
    with ThreadPoolExecutor(3) as pool:
        crowd = [pool.submit(helped.run, feeds) for _ in range(9)]
        for outputs in [helped.run(feeds), *(one.result() for one in crowd)]:
            for name, output in expected.items():
                np.testing.assert_allclose(outputs[name], output, rtol=1e-4, atol=1e-5)


def test_no_thread_of_an_engine_is_in_python_when_its_session_goes() -> None:
    """It would want the interpreter's lock while the engine is taken down, or end the process with an abort."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 4
    before = set(sys._current_frames())

    def guests() -> set[int]:
        return set(sys._current_frames()) - before

    for _ in range(20):
        engine = ort.InferenceSession(doubling_graph(), options, providers=["CPUExecutionProvider"])
        session = Session()
        one_of = Passes(held=3).of(engine, owner=session)
        with one_of(), one_of():
            until(guests, lambda held: len(held) == 3)
            del session
            assert not guests()


def test_all_helpers_are_held_though_the_engine_calls_any_of_them() -> None:
    """Also one that waits already: so whoever comes next asks for those that are missing, some times."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 4
    before = set(sys._current_frames())

    def all_held() -> bool:
        engine = ort.InferenceSession(doubling_graph(), options, providers=["CPUExecutionProvider"])
        one_of = Passes(held=3).of(engine, owner=engine)

        def held_after_one_more() -> int:
            with one_of():
                return len(set(sys._current_frames()) - before)

        with one_of(), suppress(AssertionError):
            return until(held_after_one_more, lambda held: held == 3, patience=5) == 3
        return False

    assert sum(all_held() for _ in range(12)) >= 9, "asked once, it is one in five; which thread is called is chance"


def crowds_around_a_queue_of_offers() -> None:
    """A thread is held until its queue is full of what it was offered; then two passes come at once again."""
    graph, last = Graph(), "x"
    for number in range(40):
        last = graph.node("Tanh", [last], f"step_{number}")
    content = graph.serialised({"x": ["n", 100_000]}, {last: ["n", 100_000]})
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    engine = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    one_of = Passes(held=1).of(engine, owner=engine)
    feeds = {"x": np.random.default_rng(7).random((1, 100_000), dtype=np.float32)}

    def passes(_runner: int) -> None:
        for _ in range(600):
            engine.run(None, feeds)

    for _ in range(4):
        with one_of(), one_of(), ThreadPoolExecutor(3) as pool:
            list(pool.map(passes, range(3)))
        with one_of(), one_of():
            pass


@pytest.mark.slow
def test_a_queue_full_of_offers_that_nobody_took_holds_up_no_pass() -> None:
    """The engine then calls back in the thread that asks, which must not wait for itself."""
    crowds = f"{crowds_around_a_queue_of_offers.__name__}()"
    subprocess.run([sys.executable, "-c", f"import {__name__} as this; this.{crowds}"], check=True, timeout=HANGS)


def test_an_engine_that_can_hold_nobody_fails_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ort.InferenceSession, "run_async", out_of_memory)
    monkeypatch.setattr("media_inference.runtime.helpers._PATIENCE", HANGS)
    engine = ort.InferenceSession(doubling_graph(), providers=["CPUExecutionProvider"])
    session = Session()
    one_of = Passes(held=1).of(engine, owner=session)
    with one_of(), one_of():
        pass
    begun = time.monotonic()
    del session
    assert time.monotonic() - begun < HANGS / 2, "it waits for nobody"
