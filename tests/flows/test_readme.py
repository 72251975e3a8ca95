"""README's commands, run as printed, against a service that is started as printed."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stands.documents import blocks, document, reader_environment, run_blocks, section, started, without_blocks
from tests.stands.free_port import free_port
from tests.stands.running_service import until

pytestmark = pytest.mark.flow

README = document("README.md")
START = section(README, "Start it")
WORKFLOWS = section(README, "The three tasks, step by step")
PRINTED_URL = "http://127.0.0.1:8001"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Path:
    """The folder that a reader works in, with a photo."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copy(shared / "photos" / "obama_1.jpg", folder / "photo.jpg")
    return folder


@pytest.fixture(scope="module")
def answers(folder: Path) -> Iterator[list[str]]:
    """What each block printed. The port is the one thing that is not as printed: that one may be taken."""
    port = str(free_port())
    environment = reader_environment(folder, MEDIA_INFERENCE_PORT=port)
    (start,) = blocks(START, "bash")
    with started(start, folder, environment) as said:
        _wait_for_a_token(said)
        assert PRINTED_URL in WORKFLOWS
        commands = [block.replace(PRINTED_URL, f"http://127.0.0.1:{port}") for block in blocks(WORKFLOWS, "bash")]
        yield run_blocks(commands, folder, environment)


@pytest.fixture(scope="module")
def shown(answers: list[str]) -> list[Any]:
    """The answers that are JSON."""
    return [json.loads(answer) for answer in answers if answer]


def test_every_answer_has_the_shape_that_is_printed(shown: list[Any]) -> None:
    printed = [json.loads(block) for block in blocks(WORKFLOWS, "json")]
    assert [_shape(answer) for answer in shown] == [_shape(answer) for answer in printed]


def test_the_jobs_are_completed(shown: list[Any]) -> None:
    jobs = [answer for answer in shown if "job_id" in answer]
    assert [(job["task_type"], job["status"], job["priority"]) for job in jobs] == [
        ("image_embedding", "completed", 5),
        ("face_detection", "completed", 8),
        ("face_embedding", "completed", 5),
    ]


def test_point_ids_are_those_of_the_text(shown: list[Any]) -> None:
    image, _, face = (answer["result"] for answer in shown if "job_id" in answer)
    assert image["point_id"] == 1
    assert [found["point_id"] for found in face["faces"]] == [1000]
    assert "Face 0 of photo 1 is the point 1000" in WORKFLOWS


def test_a_search_finds_the_copy(shown: list[Any]) -> None:
    images, faces = (answer for answer in shown if "results" in answer)
    for found, point in ((images, 2), (faces, 2000)):
        (hit,) = found["results"]
        assert hit["id"] == point
        assert hit["score"] == pytest.approx(1, abs=1e-3)
        assert hit["payload"]["media_store_id"] == 2


def test_the_files_are_where_the_text_says(folder: Path, shown: list[Any]) -> None:
    assert (folder / "face.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    image, _, face = (answer["job_id"] for answer in shown if "job_id" in answer)
    assert 'numpy.fromfile("data/inference/jobs/{job_id}/faces/0.bin"' in " ".join(without_blocks(WORKFLOWS).split())
    for name in (f"{face}/faces/0.bin", f"{image}/embedding.bin"):
        vector = np.fromfile(folder / "data" / "inference" / "jobs" / name, "<f4")
        assert vector.shape == (512,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def _wait_for_a_token(said: Path) -> None:
    until(said.read_text, lambda text: any(line.startswith("eyJ") for line in text.splitlines()))


def _shape(value: Any) -> Any:
    """A JSON value with its kinds instead of its values."""
    match value:
        case dict():
            return {name: _shape(content) for name, content in value.items()}
        case list():
            return [_shape(content) for content in value]
        case bool() | str():
            return type(value).__name__
        case _:
            return "number"
