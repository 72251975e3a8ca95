"""Engines that are let go while nobody uses them, and come back by themselves."""

import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import structlog

from media_inference.errors import CannotStart, ErrorCode, TransientError
from media_inference.models import clip
from media_inference.models.embedder import Embedder
from media_inference.models.model import LocalFile
from media_inference.models.mtcnn import MTCNN
from media_inference.runtime.load import LoadedNetwork, load_network
from media_inference.runtime.resting_session import RestingSession, rest_when_idle
from media_inference.runtime.session import OrtSession
from tests.stands.doubling_graph import doubling_graph
from tests.stands.model_files import built_model, clip_like_graph
from tests.stands.pictures import noise

TTL = 60.0
FEEDS = {"x": np.ones((1, 3), np.float32)}


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def opened() -> OrtSession:
    return OrtSession(doubling_graph(), model="double", threads=1)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def loads() -> list[int]:
    """Grows by one with every load after the first."""
    return []


@pytest.fixture
def session(time: Time, loads: list[int]) -> RestingSession:
    def load() -> OrtSession:
        loads.append(1)
        return opened()

    return RestingSession(opened(), load, ttl=TTL, clock=time)


def test_an_idle_session_rests_after_its_time_and_not_before(session: RestingSession, time: Time) -> None:
    time.now = TTL - 1
    assert not session.rest()
    assert (session.loaded, session.due()) == (True, 1)
    time.now = TTL
    assert session.due() == 0
    assert session.rest()
    assert (session.loaded, session.due()) == (False, TTL)
    assert not session.rest(), "it rests already"


def test_each_run_starts_the_time_anew(session: RestingSession, time: Time) -> None:
    time.now = TTL - 1
    session.run(FEEDS)
    time.now = 2 * TTL - 2
    assert not session.rest()
    time.now = 2 * TTL - 1
    assert session.rest()


def test_a_run_wakes_it_and_answers_as_before(session: RestingSession, time: Time, loads: list[int]) -> None:
    before = session.run(FEEDS)["y"]
    time.now = TTL
    assert session.rest()
    np.testing.assert_array_equal(session.run(FEEDS)["y"], before)
    session.run(FEEDS)
    assert (session.loaded, len(loads)) == (True, 1)
    assert session.input_shapes == session.output_shapes == ((None, 3),)


def test_a_run_under_way_keeps_the_engine(time: Time) -> None:
    """The engine is let go neither while it runs, nor by the time that passed before the run's end."""
    under_way, go_on = threading.Event(), threading.Event()

    class Slow(OrtSession):
        def run(self, feeds, *, together=1):  # type: ignore[no-untyped-def]  # as its parent
            under_way.set()
            assert go_on.wait(30)
            return super().run(feeds, together=together)

    session = RestingSession(Slow(doubling_graph(), model="slow", threads=1), opened, ttl=TTL, clock=time)
    answers: list[dict[str, object]] = []
    runner = threading.Thread(target=lambda: answers.append({**session.run(FEEDS)}))
    runner.start()
    assert under_way.wait(30)
    time.now = 10 * TTL
    assert not session.rest()
    assert session.due() == TTL
    go_on.set()
    runner.join()
    assert len(answers) == 1
    assert not session.rest()
    time.now = 11 * TTL
    assert session.rest()


def test_runs_and_rests_at_once_never_meet_a_missing_engine() -> None:
    """With no time at all to idle, it rests whenever nobody is at it."""
    session = RestingSession(opened(), opened, ttl=0.0)
    wrong: list[object] = []
    done = threading.Event()

    def run() -> None:
        answers = [session.run(FEEDS)["y"].tolist() for _ in range(60)]
        wrong.extend(answer for answer in answers if answer != [[2, 2, 2]])

    def rest() -> None:
        while not done.is_set():
            session.rest()

    runners = [threading.Thread(target=_noting(run, wrong)) for _ in range(4)]
    sleeper = threading.Thread(target=_noting(rest, wrong))
    for thread in (*runners, sleeper):
        thread.start()
    for thread in runners:
        thread.join()
    done.set()
    sleeper.join()
    assert wrong == []


def test_runs_that_come_at_once_load_the_engine_once(time: Time) -> None:
    loads: list[int] = []
    second = threading.Event()

    def load() -> OrtSession:
        loads.append(1)
        if len(loads) == 1:
            second.wait(0.3)  # room for another one to come in, which must not
        else:
            second.set()
        return opened()

    session = RestingSession(opened(), load, ttl=TTL, clock=time)
    time.now = TTL
    assert session.rest()
    runners = [threading.Thread(target=session.run, args=(FEEDS,)) for _ in range(4)]
    for thread in runners:
        thread.start()
    for thread in runners:
        thread.join()
    assert len(loads) == 1


def _noting(work: Callable[[], None], wrong: list[object]) -> Callable[[], None]:
    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # told by the test, not by the thread
            wrong.append(error)

    return run


def test_a_file_that_can_not_be_loaded_again_is_transient_and_tried_at_the_next_run(time: Time) -> None:
    broken = True

    def load() -> OrtSession:
        if broken:
            raise CannotStart("model mine: /secret/mine.onnx is not the file that was pinned")
        return opened()

    session = RestingSession(opened(), load, ttl=TTL, clock=time)
    time.now = TTL
    assert session.rest()
    with structlog.testing.capture_logs() as lines, pytest.raises(TransientError) as failed:
        session.run(FEEDS)
    assert (failed.value.code, "secret" in failed.value.message) == (ErrorCode.MODEL_UNAVAILABLE, False)
    assert [line["event"] for line in lines] == ["model.not_loaded_again"]
    broken = False
    assert session.run(FEEDS)["y"].tolist() == [[2, 2, 2]]


def own_network(folder: Path) -> tuple[Path, LoadedNetwork]:
    """A user's own model that may rest at once: its file, and the network."""
    graph = clip_like_graph()
    file = folder / "custom" / "mine.onnx"
    file.parent.mkdir()
    file.write_bytes(graph)
    pinned = LocalFile(file.name, hashlib.sha256(graph).hexdigest(), "mine.toml")
    model = replace(built_model(graph, clip.INPUT, "mine"), files=(pinned,))
    return file, load_network(model, folder, 1, ttl=1e-9)


def test_a_network_never_notices_that_its_engine_was_away(tmp_path: Path) -> None:
    _, loaded = own_network(tmp_path)
    assert isinstance(loaded.network, Embedder)
    before = loaded.network.embed([noise(300, 200)])
    (session,) = loaded.resting
    assert session.rest()
    np.testing.assert_array_equal(loaded.network.embed([noise(300, 200)]), before)


def test_the_hash_is_checked_again_at_each_load(tmp_path: Path) -> None:
    file, loaded = own_network(tmp_path)
    assert isinstance(loaded.network, Embedder)
    (session,) = loaded.resting
    assert session.rest()
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with structlog.testing.capture_logs() as lines, pytest.raises(TransientError, match="can't be loaded again"):
        loaded.network.embed([noise(300, 200)])
    assert "is not the file that was pinned" in lines[0]["reason"]


def test_every_graph_of_a_network_may_rest_and_without_a_time_none_does() -> None:
    assert len(load_network(MTCNN, Path("nowhere"), 1, ttl=TTL).resting) == 3
    assert load_network(MTCNN, Path("nowhere"), 1).resting == ()


def test_the_thread_lets_idle_sessions_rest_and_says_so() -> None:
    session, stopped = RestingSession(opened(), opened, ttl=0.01), threading.Event()
    rested = threading.Event()

    def note(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if event["event"] == "models.unloaded":
            rested.set()
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[note])
    thread = threading.Thread(target=rest_when_idle, args=([session], stopped))
    thread.start()
    try:
        assert rested.wait(30)
        assert not session.loaded
    finally:
        stopped.set()
        thread.join()
        structlog.configure(**before)


MEMORY = """
import gc, hashlib, sys
from pathlib import Path
import numpy as np
from media_inference.models.graphs.graph import Graph
from media_inference.runtime.memory import give_back_memory
from media_inference.runtime.resting_session import RestingSession
from media_inference.runtime.session import OrtSession

path = Path(sys.argv[1])

def write():
    graph, last = Graph(), "x"
    for layer in range(10):
        weights = np.random.default_rng(layer).normal(size=(2000, 2000)).astype(np.float32)
        last = graph.node("MatMul", [last, graph.constant(weights)], f"y{layer}")
    path.write_bytes(graph.serialised({"x": ["n", 2000]}, {last: ["n", 2000]}))

def resident():
    give_back_memory()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

def load():
    return OrtSession(path.read_bytes(), model="large", threads=1)

write()
size = path.stat().st_size / 1e6
load()
empty = resident()
session = RestingSession(load(), load, ttl=1e-9)
session.run({"x": np.ones((1, 2000), np.float32)})
loaded = resident()
assert session.rest()
rested = resident()
session.run({"x": np.ones((1, 2000), np.float32)})
again = resident()
print(size, loaded - empty, rested - empty, again - empty)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory")
def test_memory_really_goes_back_and_weights_are_kept_once(tmp_path: Path) -> None:
    """With a graph of 160 MB, in a process of its own."""
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "large.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    size, loaded, rested, again = (float(number) for number in done.stdout.split())
    assert size > 150
    assert loaded == pytest.approx(size, rel=0.15), "twice that when the file's bytes are kept as well"
    assert rested < 0.1 * size
    assert again == pytest.approx(loaded, rel=0.15)
