"""MTCNN's three networks as ONNX graphs, from the weights inside the PyPI package ``mtcnn`` (MIT).

Layers as in Zhang, Zhang, Li, Qiao 2016 (arXiv 1604.02878). The package itself is never imported: it needs TensorFlow.
"""

import hashlib
import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray

from media_inference.errors import CannotStart
from media_inference.models.graphs.graph import Attribute, Graph, Shape

Weights = Iterator[NDArray[np.float32]]

_SHA256 = {
    "pnet.lz4": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet.lz4": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet.lz4": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}


def proposal_graph() -> bytes:
    """P-Net, [1, 3, H, W] to ``boxes`` [1, 4, h, w] and ``faces`` [1, 2, h, w], one cell per 2 pixels."""
    layers = Layers(_weights("pnet.lz4"))
    layers.convolve()
    layers.pool(2, keep_partial=True)
    layers.convolve()
    layers.convolve()
    shared = layers.output
    layers.convolve(slope=False, name="boxes")
    layers.output = shared
    layers.convolve(slope=False, name="logits")
    layers.add("Softmax", [layers.output], name="faces", axis=1)
    return layers.serialised(
        [1, 3, "height", "width"], {"boxes": [1, 4, "rows", "columns"], "faces": [1, 2, "rows", "columns"]}
    )


def refinement_graph() -> bytes:
    """R-Net, [N, 3, 24, 24] to ``boxes`` [N, 4] and ``faces`` [N, 2]."""
    layers = Layers(_weights("rnet.lz4"))
    layers.convolve()
    layers.pool(3, keep_partial=True)
    layers.convolve()
    layers.pool(3)
    layers.convolve()
    layers.heads(side=3, outputs=("boxes", "faces"))
    return layers.serialised(["batch", 3, 24, 24], {"boxes": ["batch", 4], "faces": ["batch", 2]})


def output_graph() -> bytes:
    """O-Net, [N, 3, 48, 48] to ``boxes`` [N, 4], ``landmarks`` [N, 10] (5 x, then 5 y) and ``faces`` [N, 2]."""
    layers = Layers(_weights("onet.lz4"))
    layers.convolve()
    layers.pool(3, keep_partial=True)
    layers.convolve()
    layers.pool(3)
    layers.convolve()
    layers.pool(2, keep_partial=True)
    layers.convolve()
    layers.heads(side=3, outputs=("boxes", "landmarks", "faces"))
    return layers.serialised(
        ["batch", 3, 48, 48], {"boxes": ["batch", 4], "landmarks": ["batch", 10], "faces": ["batch", 2]}
    )


GRAPHS = {"pnet": proposal_graph, "rnet": refinement_graph, "onet": output_graph}


class Layers:
    """A graph that grows layer by layer, taking its weights in the order of the file; ``output`` is the last tensor."""

    def __init__(self, weights: Weights) -> None:
        self.output = "input"
        self._weights = weights
        self._graph, self._count = Graph(), 0

    def convolve(self, *, slope: bool = True, name: str | None = None) -> None:
        """An unpadded convolution (stored HWIO) and its PReLU."""
        kernel = self._graph.constant(next(self._weights).transpose(3, 2, 0, 1))
        self.add("Conv", [self.output, kernel, self._weight()], name=name)
        if slope:
            slopes = self._graph.constant(next(self._weights).reshape(-1, 1, 1))
            self.add("PRelu", [self.output, slopes])

    def pool(self, size: int, *, keep_partial: bool = False) -> None:
        """A max pooling of stride 2; partial windows at the right and lower edge count or not."""
        self.add("MaxPool", [self.output], kernel_shape=[size, size], strides=[2, 2], ceil_mode=int(keep_partial))

    def heads(self, side: int, outputs: tuple[str, ...]) -> None:
        """The dense layer over a ``side`` x ``side`` map, then one dense layer per output, the last with a softmax.

        The weights expect the map flattened by width, height, channel.
        """
        dense, bias = next(self._weights), self._weight()
        by_channel = dense.reshape(side, side, -1, dense.shape[1]).transpose(2, 1, 0, 3).reshape(dense.shape)
        self.add("Flatten", [self.output])
        self.add("Gemm", [self.output, self._graph.constant(by_channel), bias])
        self.add("PRelu", [self.output, self._weight()])
        shared = self.output
        for name in outputs:
            head = [shared, self._weight(), self._weight()]
            self.add("Gemm", head, name="logits" if name == outputs[-1] else name)
        self.add("Softmax", [self.output], name=outputs[-1], axis=1)

    def add(self, operator: str, inputs: list[str], *, name: str | None = None, **attributes: Attribute) -> None:
        """Appends a node; its output, called ``name``, becomes the last tensor."""
        self._count += 1
        self.output = self._graph.node(operator, inputs, name or f"layer_{self._count}", **attributes)

    def serialised(self, picture: Shape, outputs: dict[str, Shape]) -> bytes:
        """The finished ONNX file."""
        return self._graph.serialised({"input": picture}, outputs)

    def _weight(self) -> str:
        return self._graph.constant(next(self._weights))


def _weights(file_name: str) -> Weights:
    """The arrays of one network, in the order of its layers.

    The file is a pickle, which can run any code: its hash is checked before it is opened.
    """
    path = _package_folder() / "assets" / "weights" / file_name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CannotStart(f"model mtcnn: {file_name} of the package mtcnn can't be read ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != _SHA256[file_name]:
        raise CannotStart(f"model mtcnn: {file_name} is not that of mtcnn 1.0.0; run `pip install mtcnn==1.0.0`")
    return iter(joblib.load(io.BytesIO(content)))


def _package_folder() -> Path:
    package = importlib.util.find_spec("mtcnn")
    if package is None or not package.submodule_search_locations:
        raise CannotStart("model mtcnn: its weights come in the package mtcnn; run `pip install mtcnn==1.0.0`")
    return Path(package.submodule_search_locations[0])
