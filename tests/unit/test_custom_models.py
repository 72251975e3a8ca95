"""Users' own models."""

from pathlib import Path

import pytest

from media_inference.errors import CannotStart
from media_inference.models.catalog import find_model
from media_inference.models.custom import load_custom_models
from media_inference.models.kinds import Kind
from media_inference.models.model import LocalFile
from media_inference.runtime.load import load_network
from tests.stands.model_files import MOBILEFACENET_SHA256, MOBILEFACENET_TOML


def described(folder: Path, toml: str) -> Path:
    (folder / "mine.toml").write_text(toml)
    return folder


def test_a_described_model_is_in_the_catalogue(tmp_path: Path) -> None:
    custom = load_custom_models(described(tmp_path, MOBILEFACENET_TOML))

    model = find_model("mobilefacenet", Kind.FACE_EMBEDDER, custom)

    assert model.threshold == 0.4
    assert model.dimension == 512
    assert model.files == (LocalFile("mobilefacenet_512.onnx", MOBILEFACENET_SHA256, "mine.toml"),)
    assert not model.built_in


def test_without_a_folder_there_are_no_custom_models(tmp_path: Path) -> None:
    assert load_custom_models(tmp_path / "custom") == []


@pytest.mark.parametrize(
    ("line", "instead", "fault"),
    [
        ("dimension = 512", "dimension = 128", "dimension must be 512"),
        ('kind = "face_embedder"', 'kind = "face_detector"', 'kind must be "image_embedder" or "face_embedder"'),
        ('kind = "face_embedder"', 'kind = "image_embedder"', 'resize must be "shortest_crop" or "whole" or "pad"'),
        ('resize = "aligned"', 'resize = "pad"', 'resize must be "aligned" for kind "face_embedder"'),
        ('resize = "aligned"', 'resize = "crop"', "resize: Input should be 'shortest_crop', 'whole', 'pad' or"),
        ('resize = "aligned"', 'resize = "aligned"\ninterpolation = "bicubic"', "interpolation must be left out"),
        ("std = 127.5", "std = 0", "std: must be above 0"),
        ("std = 127.5", "std = [1, 2]", "std: one number is wanted, or a list of three"),
        ("std = 127.5", 'std = "127.5"', "std: one number is wanted, or a list of three"),
        ("mean = 127.5", "mean = [127.5, true, 'red']", "mean: 2: Input should be a valid number"),
        ("mean = 127.5", "mean = nan", "mean: 0: Input should be a finite number"),
        ('file = "mobilefacenet_512.onnx"', 'file = "../../etc/passwd"', "file: String should match"),
        ("size = 112", "", "size: this key is missing"),
        ("size = 112", "sise = 112", "sise: there is no such key; did you mean size?"),
        ('licence = "for tests only"', 'license = "MIT"', "license: there is no such key; did you mean licence?"),
        ('licence = "for tests only"', 'decoder = "scrfd"', "decoder: there is no such key"),
        ('licence = "for tests only"', 'licence = "two\\nlines"', "licence: String should match"),
        ("threshold = 0.4", "threshold = 40", "threshold: Input should be less than"),
        ("size = 112", "size = ", "Invalid value"),
    ],
)
def test_a_wrong_line_is_named_in_one_line(tmp_path: Path, line: str, instead: str, fault: str) -> None:
    assert line in MOBILEFACENET_TOML
    folder = described(tmp_path, MOBILEFACENET_TOML.replace(line, instead))

    with pytest.raises(CannotStart) as caught:
        load_custom_models(folder)

    message = str(caught.value)
    assert "mine.toml" in message
    assert fault in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a = " + b"[" * 100_000, b"name"], ids=["bytes", "deep", "cut"])
def test_a_file_that_is_no_description_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.toml").write_bytes(content)

    with pytest.raises(CannotStart, match=r"\Acustom model [^\n]*mine\.toml: [^\n]+\Z"):
        load_custom_models(tmp_path)


def test_a_custom_model_can_not_take_the_name_of_another(tmp_path: Path) -> None:
    folder = described(tmp_path, MOBILEFACENET_TOML.replace('mobilefacenet"', 'auraface-v1"'))

    with pytest.raises(CannotStart, match="two entries claim the model 'auraface-v1'"):
        find_model("auraface-v1", Kind.FACE_EMBEDDER, load_custom_models(folder))


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "custom").mkdir()
    (model,) = load_custom_models(described(tmp_path / "custom", MOBILEFACENET_TOML))

    with pytest.raises(
        CannotStart, match=r"mobilefacenet_512\.onnx is not in .*; put it there, or correct file in mine\.toml"
    ):
        load_network(model, tmp_path, threads=1)
    (tmp_path / "custom" / "mobilefacenet_512.onnx").write_bytes(b"another")
    with pytest.raises(CannotStart, match=r"not the file that was pinned .*correct sha256 in mine\.toml"):
        load_network(model, tmp_path, threads=1)
