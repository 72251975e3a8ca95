"""Text towers as models: whose they are, users' own, what `models pull` takes, what the doctor says."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from media_inference.errors import CannotStart, TextTowerUnusable
from media_inference.models.catalog import MODELS, find_model
from media_inference.models.custom import load_custom_models
from media_inference.models.kinds import Kind
from media_inference.models.licence import INSIGHTFACE
from media_inference.models.model import HubFile, LocalFile
from media_inference.processes.chosen_models import chosen_models, models_to_pull, refuse_missing_models
from media_inference.processes.doctor import Finding, examine
from media_inference.processes.model_list import describe_models
from media_inference.processes.text import open_text_search
from media_inference.runtime.hub import pull
from media_inference.runtime.text_tower import load_text_tower
from media_inference.settings import Settings, load_settings
from tests.stands.hub import hub
from tests.stands.model_files import sha256
from tests.stands.text_towers import place_text_search, text_toml

IMAGE_MODELS = [model for model in MODELS.values() if model.kind is Kind.IMAGE_EMBEDDER]


def settings_of(folder: Path, image_model: str) -> Settings:
    given = {"image_model": image_model, "face_detector": "mtcnn", "face_model": "gabor-face-512"}
    return load_settings(_env_file=None, database_dir=folder, models_dir=folder / "models", **given)


def test_every_text_tower_is_in_the_catalogue() -> None:
    for image in IMAGE_MODELS:
        if image.text_tower is not None:
            assert find_model(image.text_tower, Kind.TEXT_EMBEDDER).dimension == image.dimension


def test_every_clip_model_has_the_tower_that_it_was_trained_with() -> None:
    assert {model.name: model.text_tower for model in IMAGE_MODELS} == {
        "clip-vit-b-32": "clip-vit-b-32-text",
        "clip-vit-b-32-int8": "clip-vit-b-32-text",
        "clip-vit-b-32-laion2b": "clip-vit-b-32-laion2b-text",
        "gabor-512": None,
    }


def test_the_files_of_one_model_may_come_from_two_repositories(tmp_path: Path) -> None:
    model = MODELS["clip-vit-b-32-laion2b-text"]
    pins = [file for file in model.files if isinstance(file, HubFile)]
    assert [(pin.repo, pin.path) for pin in pins] == [
        ("immich-app/ViT-B-32__laion2b-s34b-b79k", "textual/model.onnx"),
        ("Qdrant/clip-ViT-B-32-text", "tokenizer.json"),
    ]
    small = tuple(replace(pin, sha256=sha256(pin.path.encode()), size=len(pin.path)) for pin in pins)
    with hub() as running:
        for pin in pins:
            running.put(pin.repo, pin.revision, pin.path, pin.path.encode())

        pull(replace(model, files=small), tmp_path, endpoint=running.url)

    assert {path.name: path.read_bytes() for path in (tmp_path / model.name).iterdir()} == {
        "model.onnx": b"textual/model.onnx",
        "tokenizer.json": b"tokenizer.json",
    }


def test_pull_takes_the_text_tower_and_a_start_does_not_need_it(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, database_dir=tmp_path, models_dir=tmp_path / "models")

    pulled = [model.name for model in models_to_pull(settings)]

    assert pulled == ["clip-vit-b-32", "yunet-2023mar", "auraface-v1", "clip-vit-b-32-text"]
    assert [model.name for model in chosen_models(settings).values()] == pulled[:3]
    with pytest.raises(CannotStart) as caught:
        refuse_missing_models(settings)
    assert "-text" not in str(caught.value)


def test_pull_takes_no_tower_for_a_model_without_one(tmp_path: Path) -> None:
    names = [model.name for model in models_to_pull(settings_of(tmp_path, "gabor-512"))]

    assert names == ["gabor-512", "mtcnn", "gabor-face-512"]


def test_a_list_of_models_marks_the_tower_of_the_image_model(tmp_path: Path) -> None:
    def marked(image_model: str) -> set[str]:
        return {row.name for row in describe_models(settings_of(tmp_path, image_model)) if row.chosen}

    others = {"mtcnn", "gabor-face-512"}
    assert marked("clip-vit-b-32-int8") == {"clip-vit-b-32-int8", "clip-vit-b-32-text", *others}
    assert marked("gabor-512") == {"gabor-512", *others}


def test_a_tower_of_ones_own_is_taken_as_described(tmp_path: Path) -> None:
    place_text_search(tmp_path)
    custom = load_custom_models(tmp_path / "custom")

    image = find_model("two-pictures", Kind.IMAGE_EMBEDDER, custom)
    tower = find_model("two-pictures-text", Kind.TEXT_EMBEDDER, custom)

    assert image.text_tower == tower.name
    assert tower.threshold == 0.25
    assert [type(file) for file in tower.files] == [LocalFile, LocalFile]
    assert [file.name for file in tower.graphs] == ["two-pictures-text.onnx"]
    assert load_text_tower(tower, tmp_path, threads=1).embed("a cat").shape == (1, 512)


@pytest.mark.parametrize(
    ("line", "instead", "fault"),
    [
        ("dimension = 512", "dimension = 768", "dimension: Input should be 512"),
        ("threshold = 0.25", "threshold = 25", "threshold: Input should be less than"),
        ('tokenizer = "two-pictures-text.json"', 'tokenizer = "../tokenizer.json"', "tokenizer: String should match"),
        ('tokenizer = "two-pictures-text.json"', "", "tokenizer: this key is missing"),
        ('licence = "MIT"', 'licence = "MIT"\nmean = 127.5', "mean: there is no such key"),
    ],
)
def test_a_wrong_line_is_named_in_one_line(tmp_path: Path, line: str, instead: str, fault: str) -> None:
    toml = text_toml(b"graph", b"tokenizer")
    assert line in toml
    (tmp_path / "mine.toml").write_text(toml.replace(line, instead))

    with pytest.raises(CannotStart) as caught:
        load_custom_models(tmp_path)

    assert "mine.toml" in str(caught.value)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_face_model_has_no_text_tower(tmp_path: Path) -> None:
    place_text_search(tmp_path)
    path = tmp_path / "custom" / "two-pictures.toml"
    face = path.read_text().replace("image_embedder", "face_embedder").replace("shortest_crop", "aligned")
    path.write_text(face)

    with pytest.raises(CannotStart, match='text_tower is for kind "image_embedder"'):
        load_custom_models(tmp_path / "custom")


def test_a_changed_byte_of_the_tokenizer_is_refused(tmp_path: Path) -> None:
    place_text_search(tmp_path)
    tokenizer = tmp_path / "custom" / "two-pictures-text.json"
    tokenizer.write_bytes(tokenizer.read_bytes() + b" ")
    tower = find_model("two-pictures-text", Kind.TEXT_EMBEDDER, load_custom_models(tmp_path / "custom"))

    with pytest.raises(CannotStart, match=r"two-pictures-text\.json is not the file that was pinned"):
        load_text_tower(tower, tmp_path, threads=1)


def test_a_tower_that_computes_something_else_than_at_first_is_refused(tmp_path: Path) -> None:
    place_text_search(tmp_path)
    tower = find_model("two-pictures-text", Kind.TEXT_EMBEDDER, load_custom_models(tmp_path / "custom"))
    load_text_tower(tower, tmp_path, threads=1)
    (recorded,) = (tmp_path / "custom").glob("*.golden.json")
    load_text_tower(tower, tmp_path, threads=1)
    reference = json.loads(recorded.read_text())
    numbers = np.frombuffer(base64.b64decode(reference["fingerprint"]), "<f2")
    other = base64.b64encode(numbers[::-1].tobytes()).decode()
    recorded.write_text(json.dumps({**reference, "fingerprint": other}))

    with pytest.raises(CannotStart, match=r"two-pictures-text: its self-test .* gives another output"):
        load_text_tower(tower, tmp_path, threads=1)


def test_the_doctor_runs_the_tower_and_takes_a_missing_one_for_no_fault(tmp_path: Path) -> None:
    place_text_search(tmp_path / "models")
    settings = settings_of(tmp_path, "two-pictures")
    graph = tmp_path / "models" / "custom" / "two-pictures-text.onnx"

    assert text_finding(settings) == Finding("text search", ok=True, detail="two-pictures-text (MIT), runs on cpu")
    graph.write_bytes(b"damaged")
    damaged = text_finding(settings)
    assert not damaged.ok
    assert "is not the file that was pinned" in damaged.detail
    graph.unlink()
    assert text_finding(settings) == Finding("text search", ok=True, detail="off: two-pictures-text is not pulled")


def test_a_tower_whose_licence_was_not_accepted_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No tower of the catalogue is under such a licence: one is put under it."""
    tower = MODELS["clip-vit-b-32-text"]
    monkeypatch.setitem(MODELS._entries, tower.name, replace(tower, licence=INSIGHTFACE))
    settings = settings_of(tmp_path, "clip-vit-b-32")
    search = open_text_search(settings)
    try:
        with pytest.raises(TextTowerUnusable, match="doctor"):
            search.embed("a cat")
    finally:
        search.close()
    with pytest.raises(CannotStart, match="ACCEPT_MODEL_LICENSE=clip-vit-b-32-text"):
        models_to_pull(settings)


def text_finding(settings: Settings) -> Finding:
    (finding,) = [finding for finding in examine(settings) if finding.what == "text search"]
    return finding
