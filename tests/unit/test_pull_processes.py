"""Several processes that pull one model, and one that is killed: real processes, and what the hub saw of them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_inference.models.model import HubFile
from media_inference.models.yunet import YUNET_2023MAR
from media_inference.runtime.download import Patience
from tests.stands.hub import Behaviour, Hub, hub
from tests.stands.model_commands import pulling
from tests.stands.running_service import until

pytestmark = pytest.mark.slow

(FILE,) = (file for file in YUNET_2023MAR.files if isinstance(file, HubFile))
AT_40_PERCENT = FILE.size * 2 // 5
PATIENCE = 60
BEFORE_IT_STALLS = Patience().stall_s - 5


@pytest.fixture
def running(shared: Path) -> Iterator[Hub]:
    """A hub that sends 40 % of the default detector and then waits."""
    with hub() as stand:
        stand.put(FILE.repo, FILE.revision, FILE.path, (shared / "models" / FILE.name).read_bytes())
        stand.script = [Behaviour(hold_after=AT_40_PERCENT)]
        yield stand


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "models" / YUNET_2023MAR.name).iterdir())


def part(folder: Path) -> Path:
    return folder / "models" / YUNET_2023MAR.name / f"{FILE.name}.{FILE.sha256}.part"


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def test_of_two_processes_at_once_one_downloads_and_the_other_says_that_it_waits(running: Hub, tmp_path: Path) -> None:
    settings = {"HF_ENDPOINT": running.url}
    with pulling(tmp_path, settings) as first:
        assert running.holding.wait(PATIENCE)
        with pulling(tmp_path, settings) as second:
            said = first_line(second)
            assert said == f"{YUNET_2023MAR.name}: {FILE.name}: another process is downloading it, waiting for that\n"
            running.go_on.set()
            assert first.wait(PATIENCE) == 0
            assert second.wait(PATIENCE) == 0

    assert running.ranges == [None]
    assert running.sent == FILE.size
    assert names(tmp_path) == [FILE.name]


@pytest.mark.parametrize("came", [1000, AT_40_PERCENT])
def test_a_process_that_is_killed_leaves_what_it_had_to_the_next(running: Hub, tmp_path: Path, came: int) -> None:
    running.script = [Behaviour(hold_after=came)]
    settings = {"HF_ENDPOINT": running.url}
    with pulling(tmp_path, settings) as first:
        until(lambda: size_of(part(tmp_path)), lambda size: size == came, patience=BEFORE_IT_STALLS)
        first.kill()
        first.wait(PATIENCE)
    assert names(tmp_path) == [f"{FILE.name}.{FILE.sha256}.part", f"{FILE.name}.lock"]

    with pulling(tmp_path, settings) as second:
        assert second.wait(PATIENCE) == 0

    assert running.ranges == [None, f"bytes={came}-"]
    assert running.sent == FILE.size
    assert names(tmp_path) == [FILE.name]


def test_who_waits_for_a_process_that_is_killed_goes_on_with_its_download(running: Hub, tmp_path: Path) -> None:
    settings = {"HF_ENDPOINT": running.url}
    with pulling(tmp_path, settings) as first:
        until(lambda: size_of(part(tmp_path)), lambda size: size == AT_40_PERCENT, patience=BEFORE_IT_STALLS)
        with pulling(tmp_path, settings) as second:
            assert "waiting" in first_line(second)
            first.kill()
            assert second.wait(PATIENCE) == 0

    assert running.ranges == [None, f"bytes={AT_40_PERCENT}-"]
    assert names(tmp_path) == [FILE.name]
