"""`models list` as people see it, and `models verify`, by the real command."""

import json
from pathlib import Path

import pytest

from media_inference.models.catalog import MODELS
from media_inference.models.kinds import Kind
from tests.stands.model_commands import run_command, run_on_a_terminal
from tests.stands.model_files import MOBILEFACENET_TOML, place_yunet

LEGEND = "* chosen by IMAGE_MODEL, FACE_DETECTOR or FACE_MODEL."


@pytest.mark.parametrize("columns", [80, 200])
def test_every_model_is_whole_on_a_terminal_of_any_usual_width(tmp_path: Path, columns: int) -> None:
    status, lines = run_on_a_terminal(tmp_path, columns, "models", "list")

    assert status == 0
    assert max(len(line.rstrip()) for line in lines) <= columns
    said = " ".join(" ".join(lines).split())
    for model in MODELS.values():
        (row,) = [line for line in lines if line[2:].startswith(f"{model.name} ")]
        assert model.licence.name in row
        assert model.summary in said
        assert f"threshold {model.threshold:g}: {model.source}" in said
    assert [line for line in lines if line in list(Kind)] == list(Kind)
    assert LEGEND in said


def test_the_list_says_what_is_chosen_what_is_there_and_what_is_not_accepted(tmp_path: Path, shared: Path) -> None:
    place_yunet(tmp_path / "models", shared)

    done = run_command(tmp_path, "models", "list", settings={"ACCEPT_MODEL_LICENSE": "buffalo-s-face"})

    rows = {
        line[2:].split()[0]: line for line in done.stdout.splitlines() if line[:2] in {"  ", "* "} and line[2] != " "
    }
    assert rows["yunet-2023mar"].split() == ["*", "yunet-2023mar", "0.2", "MB", "-", "yes", "MIT"]
    assert rows["auraface-v1"].split() == ["*", "auraface-v1", "260.7", "MB", "512", "no", "Apache-2.0"]
    assert rows["gabor-512"].split() == ["gabor-512", "-", "512", "yes", "MIT"]
    lines = [line.strip() for line in done.stdout.splitlines()]
    accepted = {"buffalo-s-face": "licence accepted", "buffalo-l-face": "licence not accepted"}
    for name, said in accepted.items():
        row = next(index for index, line in enumerate(lines) if line.startswith(f"{name} "))
        assert lines[row].endswith(" insightface-research")
        assert lines[row + 3] == f"{said}; it forbids any use but non-commercial research"


def test_verify_names_every_file_and_what_is_wrong_with_it(tmp_path: Path, shared: Path) -> None:
    place_yunet(tmp_path / "models", shared)
    assert run_command(tmp_path, "models", "verify").returncode == 0
    clip, custom = tmp_path / "models" / "clip-vit-b-32", tmp_path / "models" / "custom"
    clip.mkdir()
    (clip / "model.onnx").write_bytes(b"half of it")
    custom.mkdir()
    (custom / "mobilefacenet.toml").write_text(MOBILEFACENET_TOML)

    done = run_command(tmp_path, "models", "verify", "yunet-2023mar", "clip-vit-b-32", "mobilefacenet", "--json")

    assert done.returncode == 1, done.stderr
    files = json.loads(done.stdout)
    assert [(file["model"], file["file"], file["state"]) for file in files] == [
        ("yunet-2023mar", "face_detection_yunet_2023mar.onnx", "ok"),
        ("clip-vit-b-32", "model.onnx", "changed"),
        ("mobilefacenet", "mobilefacenet_512.onnx", "missing"),
    ]
    assert "has 10 bytes, expected 351686194" in files[1]["fault"]
    assert "put it there" in files[2]["fault"]


def test_verify_alone_looks_at_each_model_of_which_something_is_there(tmp_path: Path) -> None:
    clip = tmp_path / "models" / "clip-vit-b-32"
    clip.mkdir(parents=True)
    (clip / "model.onnx").write_bytes(b"half of it")

    done = run_command(tmp_path, "models", "verify")

    assert done.returncode == 1
    states = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert states.pop("clip-vit-b-32/model.onnx").startswith("changed (model clip-vit-b-32: ")
    assert set(states.values()) == {"ok"}
    assert {name.partition("/")[0] for name in states} == {model.name for model in MODELS.values() if model.built_in}


def test_of_a_model_of_ones_own_nothing_is_pulled_and_a_missing_file_is_named(tmp_path: Path) -> None:
    custom = tmp_path / "models" / "custom"
    custom.mkdir(parents=True)
    (custom / "mobilefacenet.toml").write_text(MOBILEFACENET_TOML)

    done = run_command(tmp_path, "models", "pull", "mobilefacenet")

    assert done.returncode == 3
    assert "mobilefacenet_512.onnx is not in" in done.stderr
    assert len(done.stderr.splitlines()) == 1
