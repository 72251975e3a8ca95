"""`media-inference demo`, as a newcomer starts it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from shutil import copy

import pytest

pytestmark = pytest.mark.flow

HOLD_A_SERVICE = """
import os, sys
from media_inference.demo.private_up import private_up
with private_up(dict(os.environ), workers=1) as up:
    print(up.url, flush=True)
    sys.stdin.read()
"""


class Links(HTMLParser):
    """All links of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"a", "img", "link", "script"}:
            self.found |= {value for name, value in attrs if name in {"src", "href"} and value is not None}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a machine without models and without a hub, whose temporary files can be counted."""
    (tmp_path / "tmp").mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path / "tmp"),
        "MODELS_DIR": str(tmp_path / "models"),
        "HF_HUB_OFFLINE": "1",
    }


def demo(*arguments: str, cwd: Path, env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "media_inference", "demo", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=240, check=False)


def test_the_samples_all_complete_and_the_near_duplicates_find_each_other(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    pytest.importorskip("skimage", reason="scikit-image, which brings the samples, is not installed")
    done = demo("--json", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    photos = {photo["name"]: photo for photo in result["photos"]}
    assert result["failed"] == 0
    assert {job["status"] for photo in photos.values() for job in photo["jobs"]} == {"completed"}
    assert photos["motorcycle_left.png"]["neighbours"][0]["name"] == "motorcycle_right.png"
    assert photos["motorcycle_right.png"]["neighbours"][0]["name"] == "motorcycle_left.png"
    assert len(photos["astronaut.png"]["faces"]) == 1
    assert "Built-in models stand in" in done.stderr.splitlines()[0]


def test_a_folder_with_a_broken_file_shows_the_rest_and_exits_1(
    tmp_path: Path, environment: dict[str, str], shared: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("photos/obama_1.jpg", "photos/obama_and_biden.jpg", "formats/truncated.jpg"):
        copy(shared / name, folder)
    done = demo("photos", "--out", "shown", cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert "failed: truncated.jpg, face_detection: image_corrupt" in done.stderr
    assert "6 of 9 jobs completed" in done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["obama_and_biden.jpg", "face_detection", "completed", "2"] in rows
    page = (tmp_path / "shown" / "report.html").read_text(encoding="utf-8")
    links = Links(page).found
    assert len([link for link in links if link.startswith("faces/")]) == 3
    assert all((tmp_path / "shown" / link).is_file() for link in links)
    assert "truncated.jpg" in page


def test_a_model_that_was_named_and_can_not_be_had_stops_the_start_with_one_line(
    tmp_path: Path, environment: dict[str, str], shared: Path
) -> None:
    done = demo(str(shared / "photos"), cwd=tmp_path, env={**environment, "FACE_MODEL": "auraface-v1"})
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "FACE_MODEL=auraface-v1" in done.stderr


def test_a_demo_that_is_told_to_stop_takes_its_service_and_its_data_along(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    models = {"IMAGE_MODEL": "gabor-512", "FACE_DETECTOR": "mtcnn", "FACE_MODEL": "gabor-face-512"}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_A_SERVICE],
        env={**environment, **models},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().startswith("http://127.0.0.1:")
        assert list((tmp_path / "tmp").glob("media-inference-demo-*"))
        holder.send_signal(signal.SIGTERM)
        assert holder.wait(60) == 128 + signal.SIGTERM
    assert not list((tmp_path / "tmp").glob("media-inference-demo-*"))
