"""A model that is not for commercial use is neither pulled nor loaded before its licence was accepted by name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from media_inference.errors import CannotStart
from media_inference.models.arcface import BUFFALO_L_FACE, BUFFALO_S_FACE
from media_inference.models.catalog import MODELS, all_models
from media_inference.models.custom import load_custom_models
from media_inference.models.kinds import Kind
from media_inference.models.licence import INSIGHTFACE
from media_inference.models.model import HubFile, Model
from media_inference.processes.chosen_models import chosen_models, find_chosen
from media_inference.processes.networks import load_toolbox
from media_inference.settings import Settings, load_settings
from tests.stands.hub import Hub, hub
from tests.stands.model_commands import run_command
from tests.stands.model_files import MOBILEFACENET_SHA256, MOBILEFACENET_TOML

(FILE,) = (file for file in BUFFALO_L_FACE.files if isinstance(file, HubFile))


def settings_with(folder: Path, **given: str) -> Settings:
    names = {"image_model": "gabor-512", "face_detector": "mtcnn", "face_model": BUFFALO_L_FACE.name}
    return load_settings(_env_file=None, models_dir=folder, **(names | given))


@pytest.fixture
def running() -> Iterator[Hub]:
    """A hub that has something under the address of the restricted model."""
    with hub() as stand:
        stand.put(FILE.repo, FILE.revision, FILE.path, b"another file")
        yield stand


@pytest.mark.parametrize("accepted", ["buffalo-l-face", "insightface-research", "buffalo-s-face, buffalo-l-face,"])
def test_a_licence_is_accepted_by_its_name_or_the_models(tmp_path: Path, accepted: str) -> None:
    settings = settings_with(tmp_path, accept_model_license=accepted)

    assert find_chosen(settings, Kind.FACE_EMBEDDER) is BUFFALO_L_FACE


@pytest.mark.parametrize("accepted", ["", " , ", "buffalo-s-face", "MIT", "auraface-v1,clip-vit-b-32"])
def test_what_was_not_accepted_is_refused_with_what_is_forbidden_and_the_way_out(tmp_path: Path, accepted: str) -> None:
    settings = settings_with(tmp_path, accept_model_license=accepted)

    with pytest.raises(CannotStart) as caught:
        chosen_models(settings)

    message = str(caught.value)
    assert message.startswith(
        "model buffalo-l-face: its licence insightface-research forbids any use but non-commercial"
    )
    assert "ACCEPT_MODEL_LICENSE=" in message
    assert "\n" not in message


def test_the_way_out_that_is_named_works_and_keeps_what_was_accepted(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"ACCEPT_MODEL_LICENSE=buffalo-l-face,buffalo-s-face, else"):
        chosen_models(settings_with(tmp_path, accept_model_license="buffalo-s-face"))


def test_a_worker_does_not_load_what_was_not_accepted(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="its licence"):
        load_toolbox(settings_with(tmp_path), threads=1)
    with pytest.raises(CannotStart, match=r"model\.onnx is not in"):
        load_toolbox(settings_with(tmp_path, accept_model_license="buffalo-l-face"), threads=1)


@pytest.mark.parametrize("name", ["buffalo", "buffalo-l-face;buffalo-s-face", "yes", "*"])
def test_an_unknown_name_is_refused_with_those_that_can_be_accepted(tmp_path: Path, name: str) -> None:
    settings = settings_with(tmp_path, face_model="gabor-face-512", accept_model_license=f"MIT,{name}")

    with pytest.raises(CannotStart) as caught:
        chosen_models(settings)

    message = str(caught.value)
    assert message.startswith("ACCEPT_MODEL_LICENSE: expected names of licences or models, of insightface-research, ")
    assert message.endswith(f"got {name!r}")
    for model in MODELS.values():
        assert (model.name in message) == (not model.licence.commercial_use)


def test_a_file_keeps_its_licence_whatever_its_description_says(tmp_path: Path) -> None:
    """The licence goes by the hash: to call a file one's own does not free it."""
    custom = tmp_path / "custom"
    custom.mkdir()
    described = MOBILEFACENET_TOML.replace(MOBILEFACENET_SHA256, FILE.sha256).replace("for tests only", "MIT")
    (custom / "mine.toml").write_text(described)

    assert all_models(load_custom_models(custom))["mobilefacenet"].licence is INSIGHTFACE
    with pytest.raises(CannotStart, match="model mobilefacenet: its licence insightface-research forbids"):
        chosen_models(settings_with(tmp_path, face_model="mobilefacenet"))


def test_one_hash_is_under_one_licence() -> None:
    licences: dict[str, set[str]] = {}
    for model in MODELS.values():
        for file in model.files:
            if isinstance(file, HubFile):
                licences.setdefault(file.sha256, set()).add(model.licence.name)
    assert {sha256: names for sha256, names in licences.items() if len(names) > 1} == {}


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_a_licence_that_restricts_says_so_and_can_be_named_in_a_list(model: Model) -> None:
    assert model.licence.commercial_use == (model.licence.forbids == "")
    assert not set(", ") & set(model.licence.name)


def test_nothing_is_asked_of_the_hub_before_all_licences_are_accepted(running: Hub, tmp_path: Path) -> None:
    done = run_command(
        tmp_path, "models", "pull", "yunet-2023mar", BUFFALO_S_FACE.name, settings={"HF_ENDPOINT": running.url}
    )

    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("media-inference: model buffalo-s-face: its licence insightface-research forbids")
    assert running.requests == []


def test_an_accepted_model_is_pulled(running: Hub, tmp_path: Path) -> None:
    accepted = {"HF_ENDPOINT": running.url, "ACCEPT_MODEL_LICENSE": "insightface-research"}

    done = run_command(tmp_path, "models", "pull", BUFFALO_L_FACE.name, settings=accepted)

    assert done.returncode == 1
    assert f"came with 12 bytes, expected {FILE.size}" in done.stderr.splitlines()[-1]
    assert running.requests == ["HEAD /", f"GET /{FILE.repo}/resolve/{FILE.revision}/{FILE.path}"]
