"""The process that turns texts into vectors, real ones throughout: its start, its deaths, its silence, its end."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from media_inference.errors import NoTextTower, PermanentError, TextEmbedderAway, TextEmbedderBusy, TextTowerUnusable
from media_inference.processes import text_search
from media_inference.processes.text import open_text_search
from media_inference.processes.text_child import TextChild
from media_inference.processes.text_search import MOST_WAITING, TextSearch
from media_inference.settings import Settings, load_settings
from tests.stands.running_service import until
from tests.stands.text_towers import CAT, Export, cosine, direct, place_text_search, reference_feeds, text_graph

pytestmark = pytest.mark.slow

READY = "import sys; from multiprocessing.connection import Connection; c = Connection(int(sys.argv[-1]));"
ANSWERS = f"{READY} c.send_bytes(b'ready')\nwhile True: c.recv_bytes(); c.send_bytes(b'\\0\\0\\x80?' * 512)"


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    """A models folder with the image model `two-pictures` and its tower."""
    place_text_search(tmp_path / "models")
    return tmp_path / "models"


def settings_of(models_dir: Path, **more: object) -> Settings:
    given: dict[str, object] = {"image_model": "two-pictures", "text_timeout": 60, "worker_threads": 1, **more}
    return load_settings(_env_file=None, database_dir=models_dir.parent, models_dir=models_dir, **given)


@pytest.fixture
def search(models_dir: Path) -> Iterator[TextSearch]:
    """As the API has it."""
    search = open_text_search(settings_of(models_dir))
    yield search
    search.close()


class Launches:
    """Starts stand-ins for the process: one program after the other, the last again and again."""

    def __init__(self, *programs: str) -> None:
        self._programs = list(programs)
        self.count = 0

    def __call__(self, _tower: str) -> TextChild:
        program = self._programs[min(self.count, len(self._programs) - 1)]
        self.count += 1
        return TextChild([sys.executable, "-c", program], os.environ)


def searching(launches: Launches, patience: float = 60.0) -> TextSearch:
    return TextSearch(lambda: "tower", launches, patience=patience, ttl=0)


def ended(pid: int) -> bool:
    """Waits for a process of somebody else to end."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], 30)[0])
    finally:
        os.close(watched)


def running_pid(search: TextSearch) -> int:
    pid = search.pid
    assert pid is not None
    return pid


def test_nothing_runs_before_the_first_text(search: TextSearch) -> None:
    assert search.pid is None


def test_a_text_gets_the_vector_of_onnx_runtime_on_its_tokens(search: TextSearch) -> None:
    vector = search.embed("A photo of\na cat")

    expected = direct(text_graph(Export.HUGGING_FACE), reference_feeds(Export.HUGGING_FACE, CAT))
    assert vector.shape == (512,)
    assert vector.dtype == np.float32
    assert cosine(vector, expected) >= 0.99999


def test_one_process_serves_all_texts_from_many_threads(search: TextSearch) -> None:
    texts = [f"cat number {index}" for index in range(12)]
    with ThreadPoolExecutor(12) as threads:
        together = list(threads.map(search.embed, texts))
    pid = search.pid

    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_array_equal(vector, search.embed(text))
    assert search.pid == pid


def test_a_ctrl_c_for_the_parent_does_not_reach_it(search: TextSearch) -> None:
    search.embed("a cat")

    assert os.getsid(running_pid(search)) == search.pid


def test_a_process_that_died_is_replaced_without_the_caller_noticing(search: TextSearch) -> None:
    before = search.embed("a cat")
    pid = running_pid(search)
    os.kill(pid, signal.SIGKILL)
    assert ended(pid)

    np.testing.assert_array_equal(search.embed("a cat"), before)
    assert search.pid != pid


def test_a_process_that_dies_with_a_text_costs_that_text_one_more_try() -> None:
    launches = Launches(f"{READY} c.send_bytes(b'ready'); c.recv_bytes()", ANSWERS)
    search = searching(launches)
    try:
        assert search.embed("a cat").shape == (512,)
    finally:
        search.close()
    assert launches.count == 2


def test_a_text_that_kills_every_process_is_given_up() -> None:
    launches = Launches(f"{READY} c.send_bytes(b'ready'); c.recv_bytes()")
    search = searching(launches)
    try:
        with pytest.raises(TextEmbedderAway):
            search.embed("a cat")
    finally:
        search.close()
    assert launches.count == 2


def test_a_process_that_falls_silent_is_killed_in_time_and_replaced(models_dir: Path) -> None:
    search = open_text_search(settings_of(models_dir))
    search.embed("a cat")
    silent = running_pid(search)
    os.kill(silent, signal.SIGSTOP)
    search._patience = 0.3
    try:
        with pytest.raises(TextEmbedderAway, match=r"in time|now"):  # he and the process's keeper wait equally long
            search.embed("a dog")
        assert ended(silent)
        search._patience = 60
        assert search.embed("a dog").shape == (512,)
    finally:
        search.close()


@pytest.mark.parametrize("answer", ["b'x' * 2047", "b'x' * 2049", "b'{}'"])
def test_nonsense_from_the_process_is_never_taken_for_a_vector(answer: str) -> None:
    says = f"c.send_bytes(b'ready'); c.recv_bytes(); c.send_bytes({answer}); c.recv_bytes()"
    search = searching(Launches(f"{READY} {says}"))
    try:
        with pytest.raises(TextEmbedderAway):
            search.embed("a cat")
    finally:
        search.close()


def test_more_texts_than_may_wait_are_refused_at_once(search: TextSearch) -> None:
    search.embed("a cat")
    os.kill(running_pid(search), signal.SIGSTOP)
    with ThreadPoolExecutor(MOST_WAITING + 1) as threads:
        in_work = threads.submit(search.embed, "0")
        until(search._questions.empty, bool)
        waiting = [threads.submit(search.embed, str(index)) for index in range(MOST_WAITING)]
        until(search._questions.full, bool)

        with pytest.raises(TextEmbedderBusy):
            search.embed("one too many")

        os.kill(running_pid(search), signal.SIGCONT)
        assert [future.result(60).shape for future in (in_work, *waiting)] == [(512,)] * (MOST_WAITING + 1)


def test_a_start_goes_on_after_the_first_caller_gave_up(tmp_path: Path) -> None:
    os.mkfifo(gate := tmp_path / "gate")
    launches = Launches(f"open({str(gate)!r}).read(); {ANSWERS}")
    search = searching(launches, patience=0.2)
    try:
        with pytest.raises(TextEmbedderAway, match="in time"):
            search.embed("a cat")
        gate.write_text("open")
        search._patience = 60
        assert search.embed("a cat").shape == (512,)
    finally:
        search.close()
    assert launches.count == 1


def test_an_idle_process_is_ended_and_started_again_when_needed(models_dir: Path) -> None:
    search = open_text_search(settings_of(models_dir, model_ttl=1.0))
    try:
        before = search.embed("a cat")
        pid = running_pid(search)
        assert ended(pid)
        until(lambda: search.pid, lambda now: now is None)
        np.testing.assert_array_equal(search.embed("a cat"), before)
    finally:
        search.close()


def test_close_ends_the_process_and_refuses_what_waits(search: TextSearch) -> None:
    search.embed("a cat")
    pid = running_pid(search)
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(search.embed, text) for text in ("a dog", "a horse")]
        until(search._questions.qsize, lambda size: size == 1)

        search.close()

        for future in waiting:
            with pytest.raises(TextEmbedderAway):
                future.result(10)
    assert ended(pid)
    for _ in range(2):
        with pytest.raises(TextEmbedderAway):
            search.embed("a cat")
        search.close()


@pytest.mark.parametrize("at_last", ["", "os.kill(search.pid, signal.SIGSTOP);"], ids=["waiting", "stopped"])
def test_the_process_ends_with_its_parent(models_dir: Path, at_last: str) -> None:
    program = (
        "import os, signal; from media_inference.processes.text import open_text_search;"
        "from media_inference.settings import load_settings;"
        "search = open_text_search(load_settings(_env_file=None)); search.embed('a cat');"
        f"print(search.pid, flush=True); {at_last} os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | settings_of(models_dir).as_environment()
    said, told = (models_dir.parent / name for name in ("said", "told"))  # a pipe would stay open while it lives
    with said.open("w") as stdout, told.open("w") as stderr:
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, stdout=stdout, stderr=stderr, check=False
        )

    assert done.returncode == -signal.SIGKILL, told.read_text()
    assert "Traceback" not in told.read_text()
    pid = int(said.read_text())
    try:
        assert ended(pid)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_the_process_has_a_thread_per_core_that_it_may_use(models_dir: Path) -> None:
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("this machine has a single core")
    counts = {}
    try:
        os.sched_setaffinity(0, {min(cores)})
        for worker_threads in (0, 1):
            search = open_text_search(settings_of(models_dir, worker_threads=worker_threads))
            search.embed("a cat")
            counts[worker_threads] = len(list(Path(f"/proc/{search.pid}/task").iterdir()))
            search.close()
    finally:
        os.sched_setaffinity(0, cores)

    assert counts[0] == counts[1]


def test_a_changed_byte_of_the_tower_is_refused_and_not_read_again_at_once(
    models_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    graph = models_dir / "custom" / "two-pictures-text.onnx"
    content = graph.read_bytes()
    graph.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    search = open_text_search(settings_of(models_dir))
    try:
        for _ in range(3):
            with pytest.raises(TextTowerUnusable, match=r"two-pictures-text can't be used .* `media-inference doctor`"):
                search.embed("a cat")
        told = capfd.readouterr().err
        assert told.count("is not the file that was pinned") == 1
        graph.write_bytes(content)
        search._refusal = None  # as it is after some seconds
        assert search.embed("a cat").shape == (512,)
    finally:
        search.close()


def test_a_refused_start_is_tried_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_search, "_NOT_AGAIN_FOR", 0.0)
    search = searching(Launches(f"{READY} c.send_bytes(b'refused')", ANSWERS))
    try:
        with pytest.raises(TextTowerUnusable):
            search.embed("a cat")
        assert search.embed("a cat").shape == (512,)
    finally:
        search.close()


def test_a_start_that_crashes_may_pass_and_is_not_tried_twice_for_one_text() -> None:
    launches = Launches("import os; os.abort()")
    search = searching(launches)
    try:
        for _ in range(2):
            with pytest.raises(TextEmbedderAway):
                search.embed("a cat")
    finally:
        search.close()
    assert launches.count == 1


def test_a_tower_that_is_not_on_disk_can_be_put_there_while_the_service_runs(
    models_dir: Path, search: TextSearch
) -> None:
    tokenizer = models_dir / "custom" / "two-pictures-text.json"
    elsewhere = tokenizer.rename(models_dir / "elsewhere")

    with pytest.raises(TextTowerUnusable, match=r"two-pictures-text is not on disk; put its files") as caught:
        search.embed("a cat")

    assert str(models_dir) not in str(caught.value)
    elsewhere.rename(tokenizer)
    assert search.embed("a cat").shape == (512,)


@pytest.mark.parametrize("image_model", ["clip-vit-b-32", "clip-vit-b-32-int8"])
def test_a_tower_of_the_catalogue_that_is_not_on_disk_is_to_be_pulled(tmp_path: Path, image_model: str) -> None:
    search = open_text_search(settings_of(tmp_path / "models", image_model=image_model))
    try:
        with pytest.raises(TextTowerUnusable, match="`media-inference models pull clip-vit-b-32-text`"):
            search.embed("a cat")
    finally:
        search.close()


def test_an_image_model_without_a_tower_knows_no_texts(tmp_path: Path) -> None:
    search = open_text_search(settings_of(tmp_path / "models", image_model="gabor-512"))
    try:
        with pytest.raises(NoTextTower, match="gabor-512 has no text tower"):
            search.embed("a cat")
        assert search.pid is None
    finally:
        search.close()


def test_a_tower_that_nobody_described_stops_nothing_but_texts(models_dir: Path, search: TextSearch) -> None:
    (models_dir / "custom" / "two-pictures-text.toml").unlink()

    with pytest.raises(TextTowerUnusable, match="doctor"):
        search.embed("a cat")


def test_a_text_without_a_usable_vector_is_an_error_and_the_process_lives_on() -> None:
    launches = Launches(f"{READY} c.send_bytes(b'ready')\nwhile True: c.recv_bytes(); c.send_bytes(b'')")
    search = searching(launches)
    try:
        for _ in range(2):
            with pytest.raises(PermanentError, match="no usable vector"):
                search.embed("a cat")
    finally:
        search.close()
    assert launches.count == 1
