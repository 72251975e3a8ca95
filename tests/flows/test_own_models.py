"""Users' own models through the real command: listed, verified, used, and refused with one line."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.stands.model_files import clip_like_graph, sha256
from tests.stands.running_service import service_environment
from tests.stands.window_graph import window_graph

pytestmark = pytest.mark.flow

GRAPH, _ = window_graph((3, 32, 32))
DAMAGED = GRAPH[:-1] + bytes([GRAPH[-1] ^ 1])
LARGE, _ = window_graph((3, 64, 64))
DESCRIPTION = f"""
name = "mine"
kind = "image_embedder"
file = "mine.onnx"
sha256 = "{sha256(GRAPH)}"
mean = [123.675, 116.28, 103.53]
std = [58.395, 57.12, 57.375]
size = 32
resize = "pad"
interpolation = "bilinear"
dimension = 512
threshold = 0.9
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One with a model of one's own that is in order, and chosen."""
    custom = tmp_path / "models" / "custom"
    custom.mkdir(parents=True)
    (custom / "mine.toml").write_text(DESCRIPTION)
    (custom / "mine.onnx").write_bytes(GRAPH)
    own = {"MODELS_DIR": str(custom.parent), "IMAGE_MODEL": "mine", "LOG_LEVEL": "ERROR"}
    return service_environment(tmp_path / "data") | own


def run(environment: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "media_inference", *arguments],
        cwd=Path(environment["MODELS_DIR"]).parent,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_model_of_ones_own_is_listed_verified_and_run_like_any_other(environment: dict[str, str]) -> None:
    listed = run(environment, "models", "list", "--json")
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert rows["mine"] == {
        **rows["gabor-512"],
        "name": "mine",
        "summary": "a model of your own",
        "licence": "not stated",
        "origin": "yours",
        "threshold_source": "custom/mine.toml",
        "chosen": True,
    }
    assert run(environment, "models", "verify", "mine").stdout == "mine/mine.onnx: ok\n"
    examined = run(environment, "doctor", "--json")
    assert examined.returncode == 0, examined.stdout
    assert "mine (not stated), runs on cpu" in examined.stdout


def test_a_changed_byte_does_not_verify(environment: dict[str, str]) -> None:
    file = Path(environment["MODELS_DIR"]) / "custom" / "mine.onnx"
    file.write_bytes(DAMAGED)
    done = run(environment, "models", "verify", "mine")
    assert done.returncode == 1
    assert "not the file that was pinned" in done.stdout


def test_a_missing_file_of_ones_own_is_not_looked_for_at_the_hub(environment: dict[str, str]) -> None:
    (Path(environment["MODELS_DIR"]) / "custom" / "mine.onnx").unlink()
    assert_refused(run(environment, "models", "pull", "mine"), "put it there, or correct file in")


@pytest.mark.parametrize(
    ("line", "instead", "fault"),
    [
        ("size = 32", 'size = 32\ncolor = "bgr"', "color: there is no such key; did you mean colour?"),
        ("size = 32", "", "size: this key is missing"),
        ("size = 32", "size = 32.5", "size: Input should be a valid integer"),
        ("dimension = 512", "dimension = 768", "dimension must be 512"),
        ('kind = "image_embedder"', 'kind = "face_detector"', '"face_embedder" or "text_embedder": a face_detector'),
        ('file = "mine.onnx"', 'file = "../mine.onnx"', "file: String should match"),
        ('name = "mine"', 'name = "gabor-512"', "two entries claim the model 'gabor-512'; rename yours"),
        ('name = "mine"', "name = mine", "Invalid value"),
        (
            "mean = [123.675, 116.28, 103.53]\nstd = [58.395, 57.12, 57.375]",
            "mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]",
            "write mean = [123.675, 116.28, 103.53] and std = [58.395, 57.12, 57.375]",
        ),
        (
            "mean = [123.675, 116.28, 103.53]\nstd = [58.395, 57.12, 57.375]",
            "mean = 0.5\nstd = 0.5",
            "write mean = 127.5 and std = 127.5",
        ),
    ],
)
def test_a_wrong_description_exits_with_3_and_one_line(
    environment: dict[str, str], line: str, instead: str, fault: str
) -> None:
    assert line in DESCRIPTION
    described = Path(environment["MODELS_DIR"]) / "custom" / "mine.toml"
    described.write_text(DESCRIPTION.replace(line, instead))
    assert_refused(run(environment, "models", "list"), fault)


@pytest.mark.parametrize(
    ("graph", "line", "instead", "fault"),
    [
        (None, "", "", "mine.onnx is not in"),
        (DAMAGED, "", "", "correct sha256 in mine.toml"),
        (GRAPH, "size = 32", "size = 48", "but size is 48: write size = 32 (it is described in mine.toml)"),
        (
            GRAPH,
            "size = 32",
            'size = 32\ninput = "x"',
            "no input 'x', only pixel_values (it is described in mine.toml)",
        ),
        (LARGE, "size = 32", "size = 32", "takes pixel_values [?, 3, 64, 64], but size is 32: write size = 64"),
        (
            clip_like_graph(dimension=768),
            "size = 32",
            "size = 224",
            "but it gives last_hidden_state [1, 147], image_embeds [1, 768]",
        ),
    ],
    ids=["missing", "hash", "size", "input", "size of the graph", "dimension"],
)
def test_a_file_that_is_not_as_described_stops_the_service_with_3_and_one_line(
    environment: dict[str, str], graph: bytes | None, line: str, instead: str, fault: str
) -> None:
    custom = Path(environment["MODELS_DIR"]) / "custom"
    (custom / "mine.onnx").unlink()
    if graph is not None:
        (custom / "mine.onnx").write_bytes(graph)
    pinned = GRAPH if graph in {None, DAMAGED} else graph
    described = DESCRIPTION.replace(line, instead).replace(sha256(GRAPH), sha256(pinned or GRAPH))
    (custom / "mine.toml").write_text(described)
    assert_refused(run(environment, "up", "--port", "0"), fault)


def assert_refused(done: "subprocess.CompletedProcess[str]", fault: str) -> None:
    assert done.returncode == 3, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("media-inference: ")]
    assert len(said) == 1, done.stderr
    assert fault in said[0]
    assert "mine.toml" in said[0]
    assert "Traceback" not in done.stderr
