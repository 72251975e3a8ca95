"""Weights that the engine takes from the model's file, without a copy of them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from media_inference.errors import CannotStart
from media_inference.models.custom import load_custom_models
from media_inference.models.model import Model
from media_inference.models.session import Tensor
from media_inference.runtime import load as load_module
from media_inference.runtime.load import load_network
from media_inference.runtime.mapped_file import MappedFile
from media_inference.runtime.matrices import LEAST, without_matrices
from media_inference.runtime.session import OrtSession
from media_inference.runtime.weights import mapped
from media_inference.runtime.wire_format import Span, bytes_field, fields, number, number_field, text
from tests.stands.model_files import clip_toml
from tests.stands.vit_b_32 import INPUT, OUTPUT, vit_b_32_graph

PIXELS = np.random.default_rng(3).standard_normal((2, 3, 224, 224), np.float32)
SIDE = 600
assert SIDE * SIDE * 4 > LEAST


@pytest.fixture(scope="module")
def tower() -> bytes:
    return vit_b_32_graph(layers=2)


def placed(folder: Path, content: bytes, name: str = "tower.onnx") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def open_mapped(path: Path) -> OrtSession:
    file = MappedFile(path)
    assert without_matrices(file.content, file.path.name) is not None
    return OrtSession(file, model="mapped", threads=1)


def vectors(session: OrtSession) -> Tensor:
    return session.run({INPUT: PIXELS})[OUTPUT]


def own_model(models_dir: Path, tower: bytes) -> tuple[Model, Path]:
    graph = placed(models_dir / "custom", tower)
    graph.with_suffix(".toml").write_text(clip_toml(graph, "mine"))
    (model,) = load_custom_models(models_dir / "custom")
    return model, graph


@pytest.mark.parametrize("linked", [False, True])
def test_mapped_weights_give_the_very_same_numbers(tmp_path: Path, tower: bytes, linked: bool) -> None:
    path = placed(tmp_path / "files", tower)
    if linked:
        path = tmp_path / "link.onnx"
        path.symlink_to(tmp_path / "files" / "tower.onnx")

    expected = vectors(OrtSession(tower, model="whole", threads=1))

    np.testing.assert_array_equal(vectors(open_mapped(path)), expected)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is mapped")
def test_a_loaded_session_does_not_hang_on_the_file(tmp_path: Path, tower: bytes) -> None:
    path = placed(tmp_path, tower)
    session = open_mapped(path)
    expected = vectors(session)
    assert str(path) not in Path("/proc/self/maps").read_text()

    path.write_bytes(b"")

    np.testing.assert_array_equal(vectors(session), expected)


def in_place(path: Path, content: bytes) -> None:
    before = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def by_rename(path: Path, content: bytes) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(content)
    other.rename(path)


def removed(path: Path, _content: bytes) -> None:
    path.unlink()


CHANGES = [in_place, by_rename, removed]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_seen(tmp_path: Path, change: Callable[[Path, bytes], None]) -> None:
    path = placed(tmp_path, b"one")
    file = MappedFile(path)
    assert file.unchanged

    change(path, b"two")

    assert not file.unchanged


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_while_it_is_loaded_is_not_used(
    tmp_path: Path, tower: bytes, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path, bytes], None]
) -> None:
    model, path = own_model(tmp_path, tower)
    load_network(model, tmp_path, 1)
    other = vit_b_32_graph(layers=2, seed=1)
    assert len(other) == len(tower)

    def mapped_then_changed(*found: object) -> MappedFile | None:
        file = mapped(*found)  # type: ignore[arg-type]  # handed on
        change(path, other)
        return file

    monkeypatch.setattr(load_module, "mapped", mapped_then_changed)

    with pytest.raises(CannotStart, match=r"is not the file that was pinned|is not in "):
        load_network(model, tmp_path, 1)


def test_a_folder_whose_name_is_no_text_is_read_as_ever(tmp_path: Path, tower: bytes) -> None:
    model, path = own_model(tmp_path / os.fsdecode(b"\xff"), tower)
    with pytest.raises(ValueError, match="surrogates"):
        MappedFile(path)

    load_network(model, path.parent.parent, 1)


def product(
    operator: str = "MatMul",
    *,
    dtype: type[np.generic] = np.float32,
    inputs: tuple[str, str] = ("x", "w"),
    also_input: bool = False,
    more: tuple[onnx.NodeProto, ...] = (),
) -> bytes:
    """A graph of little more than one large matrix."""
    weights = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(dtype)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    described = [helper.make_tensor_value_info(name, kind, [SIDE, SIDE]) for name in ("x", "w", "y")]
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, ["y"]), *more],
        "graph",
        described[: 2 if also_input else 1],
        described[2:],
        [numpy_helper.from_array(weights, "w")],
    )
    opset = helper.make_opsetid("", 17)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString())


@pytest.mark.parametrize("operator", ["MatMul", "Gemm"])
def test_a_large_second_factor_is_left_in_the_file(operator: str) -> None:
    content = product(operator)

    slim = without_matrices(content, "model.onnx")

    assert slim is not None
    assert len(slim) < 1000
    (left,) = onnx.load_from_string(slim).graph.initializer
    place = {entry.key: entry.value for entry in left.external_data}
    start, length = int(place["offset"]), int(place["length"])
    (whole,) = onnx.load_from_string(content).graph.initializer
    assert place["location"] == "model.onnx"
    assert content[start : start + length] == whole.raw_data
    assert (left.name, left.data_type, list(left.dims)) == (whole.name, whole.data_type, list(whole.dims))


@pytest.mark.parametrize(
    "content",
    [
        product(inputs=("w", "x")),
        product("Add"),
        product(dtype=np.float16),
        product(also_input=True),
        product(more=(helper.make_node("Relu", ["w"], ["z"]),)),
        product(more=(helper.make_node("MatMul", ["x", "w"], ["z"]),)),
    ],
    ids=["first factor", "no product", "half floats", "an input", "used elsewhere", "used twice"],
)
def test_what_the_engine_would_keep_mapped_is_not_left_in_the_file(content: bytes) -> None:
    assert without_matrices(content, "model.onnx") is None


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load_from_string(product())
    change(model)
    return bytes(model.SerializeToString())


def cube(model: onnx.ModelProto) -> None:
    (weights,) = model.graph.initializer
    weights.dims[:] = [2, SIDE // 2, SIDE]


def of_a_function(model: onnx.ModelProto) -> None:
    (node,) = model.graph.node
    node.domain = "ours"
    body = [helper.make_node("MatMul", ["a", "b"], ["c"])]
    opset = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("ours", "MatMul", ["a", "b"], ["c"], body, opset))


def used_in_a_branch(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([helper.make_node("Relu", ["w"], ["r"])], "branch", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch))


NOT_PLAIN = {
    "three dimensions": cube,
    "a function of the same name": of_a_function,
    "used in a branch": used_in_a_branch,
    "an output": lambda model: model.graph.output.append(helper.make_tensor_value_info("w", 1, [SIDE, SIDE])),
    "there twice": lambda model: model.graph.initializer.append(model.graph.initializer[0]),
    "sparse weights": lambda model: model.graph.sparse_initializer.add(),
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_a_graph_that_is_not_plain_is_loaded_whole(name: str) -> None:
    assert without_matrices(changed(NOT_PLAIN[name]), "model.onnx") is None


GROUP = b"\x0b\x0c"
"""A field of a wire type that is no longer written; the engine passes over it."""


@pytest.mark.parametrize("part", [bytes_field(11, GROUP), bytes_field(11, b"\x0a\x7f"), [number_field(1, 5)]])
def test_what_can_not_be_walked_is_left_to_the_engine(part: Iterable[bytes]) -> None:
    content = product()
    (graph,) = (field for field in fields(content, Span(0, len(content))) if field.number == 7)
    inside = bytes_field(7, content[graph.value.start : graph.value.end], *part)
    odd = b"".join((content[: graph.whole.start], *inside, content[graph.whole.end :]))

    slim = without_matrices(odd, "model.onnx")

    assert slim is None or len(slim) < 1000


def test_two_parts_of_a_graph_are_left_as_they_are() -> None:
    assert without_matrices(product() + b"".join(bytes_field(7)), "model.onnx") is None


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 1 << 21, (1 << 63) + 5])
def test_fields_are_read_as_they_were_written(value: int) -> None:
    content = number_field(3, value) + b"".join(bytes_field(300, b"x" * 150, b"x" * 50))

    first, second = fields(content, Span(0, len(content)))

    assert (first.number, number(content, first)) == (3, value)
    assert (second.number, text(content, second)) == (300, b"x" * 200)


PEAK = """
import sys
from pathlib import Path
from media_inference.runtime.mapped_file import MappedFile
from media_inference.runtime.session import OrtSession

def peak():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

before = peak()
path = Path(sys.argv[1])
OrtSession(MappedFile(path) if sys.argv[2] == "mapped" else path.read_bytes(), model="large", threads=1)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory")
def test_a_load_takes_the_weights_once_and_not_thrice(tmp_path: Path) -> None:
    path = placed(tmp_path, vit_b_32_graph(layers=6))

    def peak(how: str) -> float:
        done = subprocess.run([sys.executable, "-c", PEAK, str(path), how], capture_output=True, text=True, check=True)
        return int(done.stdout) / path.stat().st_size

    assert peak("mapped") < 1.5
    assert peak("whole") > 2
