"""Self-tests at load: what a graph gives must be what it once gave."""

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import structlog

from media_inference.errors import CannotStart
from media_inference.models import clip
from media_inference.models.gabor import GABOR_512
from media_inference.models.golden_picture import golden_picture
from media_inference.models.graphs.graph import Graph, Shape
from media_inference.models.model import BuiltFile, LocalFile, Model
from media_inference.models.self_test import SelfTest, cosine, fingerprint, is_usable
from media_inference.models.session import Feed, Tensor
from media_inference.runtime import golden
from media_inference.runtime.golden import check_golden, packaged, recorded_path
from media_inference.runtime.load import load_network
from media_inference.runtime.session import OrtSession
from tests.stands.golden_outputs import PACKAGED_MODELS, computed, graph_of
from tests.stands.model_files import built_model, clip_like_graph

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

GRAPHS = [(model, file) for model in PACKAGED_MODELS for file in model.files]
every_packaged_graph = pytest.mark.parametrize(
    ("model", "file_name"), [(model, file.name) for model, file in GRAPHS], ids=[file.name for _, file in GRAPHS]
)


def session_of(model: Model, file_name: str, shared: Path) -> OrtSession:
    (file,) = [file for file in model.files if file.name == file_name]
    return OrtSession(graph_of(file, shared), model=model.name, threads=1)


class Changed:
    """A real session whose input is changed on the way, as a wrong colour order or scale would."""

    def __init__(self, session: OrtSession, factor: float = 1.0, *, swapped: bool = False) -> None:
        self._session, self._factor, self._swapped = session, factor, swapped
        self.input_names, self.output_names = session.input_names, session.output_names
        self.input_shapes, self.output_shapes = session.input_shapes, session.output_shapes
        self.input_types = session.input_types

    def run(self, feeds: Mapping[str, Feed], *, together: int = 1) -> dict[str, Tensor]:  # noqa: ARG002  # as its protocol
        ((name, tensor),) = feeds.items()
        numbers = tensor.astype(np.float32) * np.float32(self._factor)
        return self._session.run({name: np.ascontiguousarray(numbers[:, ::-1] if self._swapped else numbers)})


def test_the_golden_picture_is_the_same_to_the_last_bit() -> None:
    assert hashlib.sha256(golden_picture(256, 256).tobytes()).hexdigest() == (
        "a82b07615f9f29a28ac1687b9ec5553c0206807b2cee73e15fea0f4ba503b7da"
    )
    assert hashlib.sha256(golden_picture(640, 112).tobytes()).hexdigest() == (
        "f6b7b5db26e25da7b418343b89f176b23853ac5e909106212ab1c14f83b59d47"
    )


@every_packaged_graph
def test_each_graph_that_is_at_hand_gives_its_stored_output(model: Model, file_name: str, shared: Path) -> None:
    stored = packaged(model.name, file_name)
    assert stored is not None, "run `python -m tests.stands.golden_outputs`"
    (file,) = [file for file in model.files if file.name == file_name]
    for threads in (1, 2):
        now = computed(model, graph_of(file, shared), threads=threads)
        assert cosine(stored.answer, now.answer) >= 0.999999


@every_packaged_graph
@pytest.mark.parametrize(
    ("factor", "swapped"),
    [(1.0, True), (0.5, False), (1 / 255, False), (2.0, False)],
    ids=["bgr", "half", "1/255", "2x"],
)
def test_the_self_test_sees_a_wrong_colour_order_and_a_wrong_scale(
    model: Model, file_name: str, shared: Path, factor: float, swapped: bool
) -> None:
    session = session_of(model, file_name, shared)
    (file,) = [file for file in model.files if file.name == file_name]
    check_golden(model, file, session, models_dir=Path("nowhere"), provider=CPU)
    wrong = Changed(session, factor, swapped=swapped)
    with pytest.raises(CannotStart, match=rf"\Amodel {model.name}: its self-test[^\n]*another output[^\n]*\Z"):
        check_golden(model, file, wrong, models_dir=Path("nowhere"), provider=CPU)
    with pytest.raises(CannotStart):  # nor does the wider bar of another device let it through
        check_golden(model, file, wrong, models_dir=Path("nowhere"), provider=CUDA)


def test_a_packaged_model_whose_graph_computes_something_else_does_not_start() -> None:
    """The weights of the other built-in descriptor under this one's name: the shapes are right, the numbers are not."""
    graph = Graph()
    graph.node("AveragePool", ["pictures"], "small", kernel_shape=[8, 16], strides=[8, 16])
    graph.node("Flatten", ["small"], "flat")
    mixing = np.random.default_rng(0).normal(size=(3 * 16 * 8, 512)).astype(np.float32)
    graph.node("MatMul", ["flat", graph.constant(mixing)], "vectors")
    other = graph.serialised({"pictures": ["batch", 3, 128, 128]}, {"vectors": ["batch", 512]})
    changed = replace(GABOR_512, files=(BuiltFile("gabor.onnx", lambda: other),))
    with pytest.raises(
        CannotStart, match="model gabor-512: its self-test on CPUExecutionProvider gives another output"
    ):
        load_network(changed, Path("nowhere"), 1)


def own_model(folder: Path, graph: bytes, **changes: object) -> Model:
    """A user's own model with its file in place."""
    (folder / "custom").mkdir(exist_ok=True)
    (folder / "custom" / "mine.onnx").write_bytes(graph)
    file = LocalFile("mine.onnx", hashlib.sha256(graph).hexdigest(), "mine.toml")
    return replace(built_model(graph, clip.INPUT, "mine"), files=(file,), **changes)  # type: ignore[arg-type]  # fields


def reference(model: Model, folder: Path) -> Path:
    (file,) = model.files
    assert isinstance(file, LocalFile)
    return recorded_path(model, file, folder)


def test_the_first_load_records_a_reference_beside_the_file_and_the_next_one_is_held_to_it(tmp_path: Path) -> None:
    model = own_model(tmp_path, clip_like_graph())
    load_network(model, tmp_path, 1)
    path = reference(model, tmp_path)
    assert [each.name for each in (tmp_path / "custom").iterdir() if each.suffix == ".json"] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert path.stat().st_size < 2048
    load_network(model, tmp_path, 2)

    other = own_model(tmp_path, clip_like_graph(pooled=16))
    load_network(other, tmp_path, 1)
    reference(other, tmp_path).replace(path)
    with pytest.raises(
        CannotStart, match=rf"model mine: its self-test.*onnxruntime [0-9.]+ on cpu gave.*remove {path}"
    ):
        load_network(own_model(tmp_path, clip_like_graph()), tmp_path, 1)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"revision": 0}',
        '{"revision": 1, "fingerprint": "#"}',
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_a_reference_that_can_not_be_read_is_recorded_anew(tmp_path: Path, content: str) -> None:
    model = own_model(tmp_path, clip_like_graph())
    reference(model, tmp_path).write_text(content)
    load_network(model, tmp_path, 1)
    assert json.loads(reference(model, tmp_path).read_text())["revision"] == 1


def test_a_reference_of_an_older_way_of_asking_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = own_model(tmp_path, clip_like_graph())
    load_network(model, tmp_path, 1)
    monkeypatch.setattr(golden, "REVISION", 2)
    load_network(model, tmp_path, 1)
    assert json.loads(reference(model, tmp_path).read_text())["revision"] == 2


def test_a_folder_that_can_not_be_written_is_no_fault(tmp_path: Path) -> None:
    model = own_model(tmp_path, clip_like_graph())
    (file,) = model.files
    session = OrtSession(clip_like_graph(), model="mine", threads=1)
    with structlog.testing.capture_logs() as lines:
        check_golden(model, file, session, models_dir=tmp_path / "gone", provider=CPU)
    assert [line["event"] for line in lines] == ["model.reference_not_recorded"]


def test_another_device_records_nothing_and_is_held_to_what_the_cpu_gave(tmp_path: Path) -> None:
    model = own_model(tmp_path, clip_like_graph())
    (file,) = model.files
    session = OrtSession(clip_like_graph(), model="mine", threads=1)
    check_golden(model, file, session, models_dir=tmp_path, provider=CUDA)
    assert not reference(model, tmp_path).exists()
    check_golden(model, file, session, models_dir=tmp_path, provider=CPU)
    check_golden(model, file, session, models_dir=tmp_path, provider=CUDA)
    with pytest.raises(CannotStart, match="self-test on CUDAExecutionProvider"):
        check_golden(model, file, Changed(session, swapped=True), models_dir=tmp_path, provider=CUDA)


@pytest.mark.parametrize(("noise", "exact", "quantised"), [(0.0, True, True), (0.1, False, True), (1.0, False, False)])
def test_an_int8_model_may_drift_a_little_and_no_other(
    tmp_path: Path, noise: float, exact: bool, quantised: bool
) -> None:
    """Noise of this share of the weights: cosines 1, about 0.995 and about 0.7."""
    for strict, passes in ((SelfTest(), exact), (clip.CLIP_VIT_B_32_INT8.self_test, quantised)):
        model = own_model(tmp_path, clip_like_graph(), self_test=strict)
        reference(model, tmp_path).unlink(missing_ok=True)
        load_network(model, tmp_path, 1)
        (file,) = model.files
        drifted = OrtSession(noisy(noise), model="mine", threads=1)
        try:
            check_golden(model, file, drifted, models_dir=tmp_path, provider=CPU)
        except CannotStart:
            assert not passes
        else:
            assert passes


def noisy(noise: float) -> bytes:
    """`clip_like_graph` with noise on its output's weights."""
    graph = Graph()
    graph.node("AveragePool", ["pixel_values"], "small", kernel_shape=[32, 32], strides=[32, 32])
    graph.node("Flatten", ["small"], "last_hidden_state")
    shape = (3 * 7 * 7, 512)
    weights = np.random.default_rng(1).normal(size=shape) + noise * np.random.default_rng(2).normal(size=shape)
    graph.node("MatMul", ["last_hidden_state", graph.constant(weights.astype(np.float32))], "image_embeds")
    return graph.serialised(
        {"pixel_values": ["batch", 3, 224, 224]},
        {"last_hidden_state": ["batch", 147], "image_embeds": ["batch", 512]},
    )


@pytest.mark.parametrize("number", [0.0, np.nan, np.inf])
def test_a_graph_that_gives_nothing_usable_does_not_start_and_is_not_recorded(tmp_path: Path, number: float) -> None:
    graph = Graph()
    graph.node("GlobalAveragePool", ["pixels"], "means")
    graph.node("Flatten", ["means"], "flat")
    graph.node("MatMul", ["flat", graph.constant(np.full((3, 512), number, np.float32))], "vector")
    content = graph.serialised({"pixels": ["n", 3, 224, 224]}, {"vector": ["n", 512]})
    model = own_model(tmp_path, content)
    with pytest.raises(CannotStart, match="model mine: its self-test gave nothing but zeros"):
        load_network(model, tmp_path, 1)
    assert not reference(model, tmp_path).exists()


def test_a_graph_that_takes_no_pictures_is_not_asked(tmp_path: Path) -> None:
    graph = Graph()
    graph.node("Identity", ["tokens"], "same")
    content = graph.serialised({"tokens": ["n", 77]}, {"same": ["n", 77]})
    model = own_model(tmp_path, content)
    (file,) = model.files
    check_golden(model, file, OrtSession(content, model="mine", threads=1), models_dir=tmp_path, provider=CPU)
    assert not reference(model, tmp_path).exists()


def test_a_graph_with_the_colours_last_sees_the_same_picture(tmp_path: Path) -> None:
    first, last = Graph(), Graph()
    first.node("Identity", ["pixels"], "same")
    last.node("Transpose", ["pixels"], "same", perm=[0, 3, 1, 2])
    planes: Shape = ["n", 3, 224, 224]
    taken: list[tuple[Graph, Shape]] = [(first, planes), (last, ["n", 224, 224, 3])]
    answers = []
    for graph, shape in taken:
        session = OrtSession(graph.serialised({"pixels": shape}, {"same": planes}), model="mine", threads=1)
        feeds = SelfTest().feeds(session)
        assert feeds is not None
        answers.append(session.run(feeds)["same"])
    np.testing.assert_array_equal(answers[0], answers[1])


def test_every_output_counts_and_not_only_the_loudest() -> None:
    loud, quiet = (np.linspace(0, most, 100, dtype=np.float32) for most in (1e5, 0.1))
    whole = fingerprint({"loud": loud, "quiet": quiet})
    assert cosine(whole, fingerprint({"loud": loud, "quiet": quiet[::-1]})) < 0.1
    assert cosine(whole, fingerprint({"loud": loud, "quiet": quiet})) == pytest.approx(1)
    assert cosine(whole, fingerprint({"loud": loud})) == -1


def test_an_output_without_a_pattern_is_compared_all_the_same() -> None:
    flat = fingerprint({"y": np.full(1000, 7, np.float32)})
    assert is_usable(flat)
    assert cosine(flat, fingerprint({"y": np.full(1000, -7, np.float32)})) == pytest.approx(-1)
