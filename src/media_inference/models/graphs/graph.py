"""An ONNX graph in the making."""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPSET, IR_VERSION = 17, 8
"""Old enough for every ONNX Runtime that runs on Python 3.11."""

Attribute = int | str | list[int]
Shape = list[int | str]


class Graph:
    """Nodes and constants in the order in which they are added; all inputs and outputs are float32."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def node(self, operator: str, inputs: list[str], output: str | list[str], **attributes: Attribute) -> str:
        """Adds a node and returns the name of its first output."""
        outputs = [output] if isinstance(output, str) else output
        node = helper.make_node(operator, inputs, outputs)
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self._nodes.append(node)
        return outputs[0]

    def constant(self, values: NDArray[np.generic] | np.generic) -> str:
        """Adds an array and returns its name."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def scalar(self, value: float) -> str:
        """Adds a single number and returns its name."""
        return self.constant(np.array([value], np.float32))

    def serialised(self, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> bytes:
        """The finished ONNX file; a name instead of a size is a free axis."""
        graph = helper.make_graph(self._nodes, "graph", _described(inputs), _described(outputs), self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        return bytes(model.SerializeToString())


def _described(tensors: Mapping[str, Shape]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in tensors.items()]
