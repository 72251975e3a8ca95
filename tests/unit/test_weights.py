"""A model's files are the pinned ones or none."""

from dataclasses import replace
from pathlib import Path

import pytest

from media_inference.errors import CannotStart
from media_inference.models.gabor import GABOR_512
from media_inference.models.graphs import mtcnn as mtcnn_graphs
from media_inference.models.model import HubFile, Model
from media_inference.models.mtcnn import MTCNN
from media_inference.models.yunet import YUNET_2023MAR
from media_inference.runtime.load import load_network
from media_inference.runtime.weights import on_disk, read
from tests.stands.model_files import place_yunet, sha256

CONTENT = b"weights"


def pinned(content: bytes) -> Model:
    """A model of one hub file with that content."""
    file = HubFile("org/repo", "0" * 40, "sub/model.onnx", sha256(content), len(content))
    return replace(YUNET_2023MAR, name="pinned", files=(file,))


def placed(models_dir: Path, content: bytes) -> None:
    (models_dir / "pinned").mkdir()
    (models_dir / "pinned" / "model.onnx").write_bytes(content)


def test_a_file_lies_under_the_models_name(tmp_path: Path) -> None:
    placed(tmp_path, CONTENT)
    model = pinned(CONTENT)

    assert read(model, model.files[0], tmp_path) == CONTENT


def test_a_missing_file_is_named_with_the_folder_and_the_command(tmp_path: Path) -> None:
    with pytest.raises(CannotStart) as caught:
        load_network(YUNET_2023MAR, tmp_path, threads=1)

    message = str(caught.value)
    assert message.startswith("model yunet-2023mar: face_detection_yunet_2023mar.onnx is not in")
    assert str(tmp_path / "yunet-2023mar") in message
    assert "media-inference models pull yunet-2023mar" in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"WEIGHTS", b"weight", b"weights and more", b""])
def test_a_file_of_another_hash_or_size_is_refused(tmp_path: Path, content: bytes) -> None:
    placed(tmp_path, content)
    model = pinned(CONTENT)

    with pytest.raises(CannotStart, match=r"get it again with `media-inference models pull pinned`"):
        read(model, model.files[0], tmp_path)


def test_a_folder_in_place_of_the_file_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "pinned" / "model.onnx").mkdir(parents=True)
    model = pinned(CONTENT)

    with pytest.raises(CannotStart, match="can't be read"):
        read(model, model.files[0], tmp_path)


def test_on_disk_looks_for_every_file_at_its_size(tmp_path: Path, shared: Path) -> None:
    assert not on_disk(YUNET_2023MAR, tmp_path)
    place_yunet(tmp_path, shared)
    assert on_disk(YUNET_2023MAR, tmp_path)
    placed(tmp_path, b"half")
    assert not on_disk(pinned(CONTENT), tmp_path)


def test_built_in_models_are_always_there(tmp_path: Path) -> None:
    assert on_disk(GABOR_512, tmp_path)
    assert on_disk(MTCNN, tmp_path)


def test_the_weights_of_mtcnn_are_not_unpickled_unless_they_are_the_pinned_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "mtcnn"
    (package / "assets" / "weights").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "assets" / "weights" / "pnet.lz4").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(CannotStart, match=r"pnet\.lz4 is not that of mtcnn 1\.0\.0"):
        mtcnn_graphs.proposal_graph()


def test_without_the_package_of_mtcnn_its_model_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])

    with pytest.raises(CannotStart, match="pip install mtcnn"):
        mtcnn_graphs.proposal_graph()
