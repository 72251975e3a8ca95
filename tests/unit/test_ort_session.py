"""ONNX Runtime behind the session protocol."""

import resource
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from media_inference.errors import CannotStart, ErrorCode, PermanentError, TransientError
from media_inference.models.graphs.graph import Graph
from media_inference.runtime import session as session_module
from media_inference.runtime.device import Device
from media_inference.runtime.session import OrtSession
from tests.stands.doubling_graph import doubling_graph


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


@pytest.mark.parametrize("keeps", ["the lower 32 bits", "all bits"])
def test_a_key_with_more_bits_than_a_parser_keeps_hides_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps: str
) -> None:
    """ONNX Runtime reads the file by either key: seen as field 13 only by who drops the bits above 32."""
    monkeypatch.chdir(tmp_path)
    np.full(300, 7, np.float32).tofile(tmp_path / "w.bin")
    shape = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [300]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "g", shape[:1], shape[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[300], data_location=onnx.TensorProto.EXTERNAL)
    entry = onnx.StringStringEntryProto(key="location", value="w.bin").SerializeToString()
    hidden = field(13 | (1 << 29 if keeps == "the lower 32 bits" else 0), entry)
    # A field that comes twice is merged, so this adds a tensor to the graph.
    content = model.SerializeToString() + field(7, field(5, tensor.SerializeToString() + hidden))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (read,) = session.run(None, {"x": np.ones(300, np.float32)})
    assert np.asarray(read)[0] == 7

    with pytest.raises(CannotStart, match=r"keeps weights in another file|is not an ONNX graph"):
        OrtSession(content, model="split", threads=1)


def test_a_number_that_never_ends_is_refused_at_once() -> None:
    start = time.process_time()

    with pytest.raises(CannotStart, match="is not an ONNX graph"):
        OrtSession(b"\x08" + b"\xff" * (1 << 18), model="endless", threads=1)

    assert time.process_time() - start < 1


def test_the_engine_takes_nothing_but_onnx(tmp_path: Path) -> None:
    """Its own format has no place in the walk that looks for other files; here it lies inside a field of one."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(tmp_path / "graph.ort")
    onnxruntime.InferenceSession(doubling_graph(), options, providers=["CPUExecutionProvider"])
    engines_own = (tmp_path / "graph.ort").read_bytes()
    assert engines_own[4:8] == b"ORTM"
    assert session_module._on(Device.CPU, doubling_graph(), 1)

    with pytest.raises(ort_errors.InvalidProtobuf):
        session_module._on(Device.CPU, engines_own, 1)


def field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that has a length."""
    coded = bytearray()
    for value in (number << 3 | 2, len(content)):
        rest = value
        while rest > 127:
            coded.append(rest & 127 | 128)
            rest >>= 7
        coded.append(rest)
    return bytes(coded) + content


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
