"""The catalogue of models."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import media_inference.models
from media_inference.errors import CannotStart
from media_inference.models.catalog import MODELS, find_model
from media_inference.models.clip import CLIP_VIT_B_32
from media_inference.models.kinds import Kind
from media_inference.models.model import HubFile, Model
from media_inference.registry import Registry


def test_the_catalogue_has_every_model_that_a_file_of_the_folder_describes() -> None:
    folder = Path(media_inference.models.__path__[0])
    modules = [importlib.import_module(f"media_inference.models.{path.stem}") for path in folder.glob("[a-z]*.py")]
    described = {value.name for module in modules for value in vars(module).values() if isinstance(value, Model)}

    assert described == set(MODELS)


def test_two_models_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two entries claim the model 'clip-vit-b-32'"):
        Registry("model", [CLIP_VIT_B_32, CLIP_VIT_B_32], key=lambda model: model.name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("clip-vit-b-32", Kind.IMAGE_EMBEDDER),
        ("gabor-512", Kind.IMAGE_EMBEDDER),
        ("yunet-2023mar", Kind.FACE_DETECTOR),
        ("mtcnn", Kind.FACE_DETECTOR),
        ("auraface-v1", Kind.FACE_EMBEDDER),
        ("gabor-face-512", Kind.FACE_EMBEDDER),
    ],
)
def test_the_models_of_the_contract_are_found(name: str, kind: Kind) -> None:
    assert find_model(name, kind).name == name


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(CannotStart, match=r"'clip' .* no such model; there are clip-vit-b-32, .*gabor-512$"):
        find_model("clip", Kind.IMAGE_EMBEDDER)


def test_a_model_of_another_kind_is_refused() -> None:
    with pytest.raises(CannotStart, match="be the face_embedder: it is of the kind face_detector; there are aura"):
        find_model("mtcnn", Kind.FACE_EMBEDDER)


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_every_entry_is_pinned_and_tells_a_user_what_it_does(model: Model) -> None:
    assert model.dimension == (None if model.kind is Kind.FACE_DETECTOR else 512)
    assert -1 < model.threshold < 1
    for text in (model.summary, model.licence.name, model.source):
        assert text
        assert "\n" not in text
    for file in model.files:
        if isinstance(file, HubFile):
            assert re.fullmatch("[0-9a-f]{40}", file.revision)
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert file.size > 0


def test_reading_the_catalogue_loads_no_engine() -> None:
    program = (
        "import sys, media_inference.models.catalog, media_inference.models.custom;"
        "print([name for name in ('onnx', 'onnxruntime', 'joblib', 'huggingface_hub', 'mtcnn') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
