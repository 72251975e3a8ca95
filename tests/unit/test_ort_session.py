"""ONNX Runtime behind the session protocol."""

import resource
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from media_inference.errors import CannotStart, ErrorCode, PermanentError, TransientError
from media_inference.models.graphs.graph import Graph
from media_inference.runtime.session import OrtSession


def doubling_graph() -> bytes:
    graph = Graph()
    graph.node("Mul", ["x", graph.scalar(2)], "y")
    return graph.serialised({"x": ["batch", 3]}, {"y": ["batch", 3]})


def graph_with_weights_elsewhere(*, nested: bool) -> bytes:
    """A graph that reads a file of the working directory, from its initialisers or from a constant inside a node."""
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[3])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    node = helper.make_node("Mul", ["x", "w"], ["y"])
    constant = helper.make_node("Constant", [], ["w"])
    constant.attribute.append(onnx.AttributeProto(name="value", type=onnx.AttributeProto.TENSOR, t=tensor))
    shape = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [3]) for name in "xy"]
    graph = (
        helper.make_graph([constant, node], "g", shape[:1], shape[1:])
        if nested
        else helper.make_graph([node], "g", shape[:1], shape[1:], [tensor])
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


def test_a_session_tells_names_shapes_and_where_it_runs() -> None:
    session = OrtSession(doubling_graph(), model="double", threads=1)

    assert session.input_names == ("x",)
    assert session.output_names == ("y",)
    assert session.input_shapes == session.output_shapes == ((None, 3),)
    assert session.provider == "CPUExecutionProvider"
    np.testing.assert_array_equal(session.run({"x": np.ones((2, 3), np.float32)})["y"], np.full((2, 3), 2))


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00" * 100, b"<html>not found</html>"])
def test_bytes_that_are_no_graph_can_not_start(content: bytes) -> None:
    with pytest.raises(CannotStart, match=r"\Amodel broken: [^\n]*\Z"):
        OrtSession(content, model="broken", threads=1)


def test_half_a_graph_can_not_start() -> None:
    graph = doubling_graph()

    with pytest.raises(CannotStart, match=r"\Amodel broken: [^\n]*\Z"):
        OrtSession(graph[: len(graph) // 2], model="broken", threads=1)


@pytest.mark.parametrize("nested", [False, True])
def test_a_graph_that_reads_other_files_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    nested: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.bin").write_bytes(np.ones(3, np.float32).tobytes())

    with pytest.raises(CannotStart, match="keeps weights in another file"):
        OrtSession(graph_with_weights_elsewhere(nested=nested), model="split", threads=1)


def test_an_input_of_the_wrong_shape_is_permanent() -> None:
    session = OrtSession(doubling_graph(), model="double", threads=1)

    with pytest.raises(PermanentError, match="did not take its input") as caught:
        session.run({"x": np.ones((2, 4), np.float32)})

    assert caught.value.code is ErrorCode.INTERNAL


def test_an_engine_that_runs_out_of_memory_is_transient() -> None:
    graph = Graph()
    graph.node("Expand", ["x", graph.constant(np.array([1 << 44, 1], np.int64))], "y")
    session = OrtSession(graph.serialised({"x": ["n"]}, {"y": ["m", "n"]}), model="huge", threads=1)

    with pytest.raises(TransientError) as caught:
        session.run({"x": np.ones(1000, np.float32)})

    assert caught.value.code is ErrorCode.MODEL_UNAVAILABLE


def test_the_memory_of_a_large_picture_is_given_back() -> None:
    graph = Graph()
    for step in range(3):
        graph.node("Mul", [f"x{step}", graph.scalar(2)], f"x{step + 1}")
    graph.node("ReduceMax", ["x3"], "y", keepdims=0)
    session = OrtSession(graph.serialised({"x0": ["n"]}, {"y": []}), model="large", threads=1)
    small, large = np.ones(1000, np.float32), np.ones(50_000_000, np.float32)  # 200 MB
    session.run({"x0": small})
    before = resident_megabytes()

    session.run({"x0": large})

    assert resident_megabytes() - before < 100


def resident_megabytes() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() // 2**20
