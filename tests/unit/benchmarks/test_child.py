"""Sides in processes of their own."""

from pathlib import Path

import pytest
from PIL import Image

from benchmarks.bench import Bench
from benchmarks.child import SideFailed, child
from benchmarks.scale import TINY
from benchmarks.sides import photo_work
from tests.stands.pictures import noise


def test_a_side_answers_until_it_is_no_longer_asked(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    Image.fromarray(noise(480, 640)).save(photo)
    with child(photo_work.__name__, [], tmp_path) as side:
        assert [0 < side.ask(files=[str(photo)], seconds=0)["cpu_seconds"] < 1 for _ in range(2)] == [True, True]
    assert not Path(f"/proc/{side.pid}").exists()


def test_a_side_that_ends_says_what_it_said_last(tmp_path: Path) -> None:
    with pytest.raises(SideFailed, match="FileNotFoundError"), child(photo_work.__name__, [], tmp_path) as side:
        side.ask(files=["nowhere.jpg"], seconds=0)


def test_without_their_environment_peers_are_left_out_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(SideFailed, match="make bench"):
        Bench(TINY, tmp_path, tmp_path, tmp_path / "python").peers()
