"""Model files for tests: the real ones of ../shared in their places, and small graphs of other networks' contracts."""

import hashlib
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np

from media_inference.models.catalog import find_model
from media_inference.models.custom import load_custom_models
from media_inference.models.embedder import Embedder, Input, embedder
from media_inference.models.gabor import GABOR_512, GABOR_FACE_512
from media_inference.models.graphs.graph import Graph, Shape
from media_inference.models.kinds import FaceDetector, FaceEmbedder, ImageEmbedder, Kind
from media_inference.models.licence import MIT
from media_inference.models.model import BuiltFile, Model
from media_inference.models.mtcnn import MTCNN
from media_inference.models.yunet import YUNET_2023MAR, YuNet
from media_inference.runtime.load import load_network
from media_inference.tasks.toolbox import Toolbox

BUILT_IN = (GABOR_512, MTCNN, GABOR_FACE_512)

MOBILEFACENET_SHA256 = "ea86bd1c3c9a493de49779cea88a0ae6e8b29ae1ac1ebe45406e3585bf87efc7"

MOBILEFACENET_TOML = f"""
name = "mobilefacenet"
kind = "face_embedder"
file = "mobilefacenet_512.onnx"
sha256 = "{MOBILEFACENET_SHA256}"
input = "input.1"
colour = "rgb"
mean = 127.5
std = 127.5
size = 112
resize = "aligned"
dimension = 512
threshold = 0.4
licence = "for tests only"
summary = "recognises people"
"""


def place_yunet(models_dir: Path, shared: Path) -> None:
    """Puts the default detector where it belongs."""
    folder = models_dir / YUNET_2023MAR.name
    folder.mkdir(parents=True)
    (folder / "face_detection_yunet_2023mar.onnx").symlink_to(shared / "models" / "face_detection_yunet_2023mar.onnx")


def load_yunet(models_dir: Path, shared: Path) -> YuNet:
    """The default detector, ready to work."""
    place_yunet(models_dir, shared)
    network = load_network(YUNET_2023MAR, models_dir, threads=1).network
    assert isinstance(network, YuNet)
    return network


def load_mobilefacenet(models_dir: Path, shared: Path) -> Embedder:
    """A real face embedder, as a user's own model."""
    folder = models_dir / "custom"
    folder.mkdir(parents=True)
    (folder / "mobilefacenet.toml").write_text(MOBILEFACENET_TOML)
    (folder / "mobilefacenet_512.onnx").symlink_to(shared / "models" / "mobilefacenet_512.onnx")
    model = find_model("mobilefacenet", Kind.FACE_EMBEDDER, load_custom_models(folder))
    return load_embedder(model, models_dir)


def load_embedder(model: Model, models_dir: Path = Path("nowhere")) -> Embedder:
    """An embedding network, ready to work."""
    network = load_network(model, models_dir, threads=1).network
    assert isinstance(network, Embedder)
    return network


def clip_like_graph(*, dimension: int = 512, batch: int | str = "batch", pooled: int = 32) -> bytes:
    """A graph of the CLIP contract: ``pixel_values`` to ``last_hidden_state`` and ``image_embeds``, random weights.

    It does not normalise its vectors, like the real ones.
    """
    graph = Graph()
    side = 224 // pooled
    graph.node("AveragePool", ["pixel_values"], "small", kernel_shape=[pooled] * 2, strides=[pooled] * 2)
    graph.node("Flatten", ["small"], "last_hidden_state")
    weights = np.random.default_rng(1).normal(size=(3 * side * side, dimension)).astype(np.float32)
    graph.node("MatMul", ["last_hidden_state", graph.constant(weights)], "image_embeds")
    shape: Shape = [batch, 3, 224, 224]
    return graph.serialised(
        {"pixel_values": shape}, {"last_hidden_state": [batch, 3 * side * side], "image_embeds": [batch, dimension]}
    )


def built_model(graph: bytes, wanted: Input, name: str = "built") -> Model:
    """A catalogue entry around a graph."""
    return Model(
        name=name,
        kind=Kind.IMAGE_EMBEDDER,
        files=(BuiltFile("model.onnx", lambda: graph),),
        network=embedder(wanted),
        licence=MIT,
        summary="for tests",
        source="tests",
        threshold=0.9,
    )


def sha256(content: bytes) -> str:
    """The hash of some bytes in hex."""
    return hashlib.sha256(content).hexdigest()


@cache
def builtin_toolbox() -> Toolbox:
    """The built-in networks."""
    nowhere = Path("nowhere")
    image, detector, face = (load_network(model, nowhere, threads=1).network for model in BUILT_IN)
    return Toolbox(cast("ImageEmbedder", image), cast("FaceDetector", detector), cast("FaceEmbedder", face))


def clip_toml(graph: Path, name: str = "my-clip") -> str:
    """The description of a graph of the CLIP contract as a user's own model."""
    return f"""
name = "{name}"
kind = "image_embedder"
file = "{graph.name}"
sha256 = "{sha256(graph.read_bytes())}"
mean = [122.7709383, 116.7460125, 104.0937362]
std = [68.5005327, 66.6321579, 70.323163]
size = 224
resize = "shortest_crop"
dimension = 512
threshold = 0.95
"""
