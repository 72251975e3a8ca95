"""Text towers for tests: graphs of the two contracts that CLIP is exported with, and an image model beside them."""

from enum import StrEnum
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from media_inference.models.graphs.graph import Graph
from media_inference.models.kinds import DIMENSION, Kind, Vectors
from media_inference.models.licence import MIT
from media_inference.models.model import BuiltFile, Model
from media_inference.models.session import Feed
from media_inference.models.text_embedder import token_embedder
from tests.stands.clip_tokenizer import clip_tokenizer_json
from tests.stands.model_files import sha256

CAT = [49406, 320, 1125, 539, 320, 2368, 49407]
"""The golden tokens of "a photo of a cat"."""
AUDIENCE = [49406, 320, 1125, 539, 550, 6863, 49407]
"""The golden tokens of "a photo of an audience"."""

_WORDS, _WIDTH = 509, 32
_INTEGERS = {"int32": onnx.TensorProto.INT32, "int64": onnx.TensorProto.INT64}


class Export(StrEnum):
    """Whose way to export a text tower."""

    HUGGING_FACE = "hugging_face"
    """Tokens and a mask, int64, any length."""
    OPEN_CLIP = "open_clip"
    """Tokens alone, int32, 77 of them, zeros after the last."""
    UNTRUE = "untrue"
    """As the one before, but it says that it takes any length."""


def text_graph(export: Export, *, dimension: int = DIMENSION, integers: str = "") -> bytes:
    """A graph whose vector depends on every token, its place and, without a mask, on the padding. Random weights."""
    graph = Graph()
    random = np.random.default_rng(4)
    ids = "input_ids" if export is Export.HUGGING_FACE else "text"
    graph.node("Mod", [ids, graph.constant(np.array(_WORDS, integers or _integers(export)))], "row")
    table = random.normal(size=(_WORDS, _WIDTH)).astype(np.float32)
    graph.node("Gather", [graph.constant(table), "row"], "words")
    weights = _place_weights(graph, export, ids)
    graph.node("Mul", ["words", weights], "last_hidden_state")
    graph.node("ReduceSum", ["last_hidden_state", graph.constant(np.array([1], np.int64))], "sum", keepdims=0)
    projection = random.normal(size=(_WIDTH, dimension)).astype(np.float32)
    graph.node("MatMul", ["sum", graph.constant(projection)], "text_embeds")
    length: int | str = 77 if export is Export.OPEN_CLIP else "sequence"
    inputs = [ids, "attention_mask"] if export is Export.HUGGING_FACE else [ids]
    content = graph.serialised(
        {name: ["batch", length] for name in inputs},
        {"last_hidden_state": ["batch", length, _WIDTH], "text_embeds": ["batch", dimension]},
    )
    return with_integer_inputs(content, integers or _integers(export))


def direct(graph: bytes, feeds: dict[str, Feed]) -> NDArray[np.float32]:
    """What ONNX Runtime itself gives, at length 1: [512]."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (vectors,) = session.run(["text_embeds"], feeds)
    return np.asarray(vectors[0] / np.linalg.norm(vectors[0]), np.float32)


def reference_feeds(export: Export, tokens: list[int]) -> dict[str, Feed]:
    """The inputs as the maker of the export gives them."""
    if export is Export.HUGGING_FACE:
        return {"input_ids": np.array([tokens], np.int64), "attention_mask": np.ones((1, len(tokens)), np.int64)}
    return {"text": np.array([tokens + [0] * (77 - len(tokens))], np.int32)}


def text_model(graph: bytes, name: str = "tower") -> Model:
    """A catalogue entry around a graph and CLIP's tokenizer."""
    return Model(
        name=name,
        kind=Kind.TEXT_EMBEDDER,
        files=(BuiltFile("model.onnx", lambda: graph), BuiltFile("tokenizer.json", clip_tokenizer_json)),
        tokenizer="tokenizer.json",
        network=token_embedder,
        licence=MIT,
        summary="for tests",
        source="tests",
        threshold=0.25,
    )


def bright_or_dark_graph(bright: NDArray[np.float32], dark: NDArray[np.float32]) -> bytes:
    """An image model of the CLIP contract that gives one vector for bright pictures and another for dark ones."""
    graph = Graph()
    graph.node("GlobalAveragePool", ["pixel_values"], "means")
    graph.node("Flatten", ["means"], "colours")
    graph.node("ReduceSum", ["colours", graph.constant(np.array([1], np.int64))], "brightness", keepdims=1)
    graph.node("Greater", ["brightness", graph.scalar(0)], "is_bright")
    vectors = [graph.constant(3 * vector[None]) for vector in (bright, dark)]
    graph.node("Where", ["is_bright", *vectors], "image_embeds")
    return graph.serialised({"pixel_values": ["batch", 3, 224, 224]}, {"image_embeds": ["batch", DIMENSION]})


def place_text_search(models_dir: Path, export: Export = Export.HUGGING_FACE) -> None:
    """Puts an image model `two-pictures` with its tower `two-pictures-text` among the user's own.

    It takes bright pictures for a photo of a cat, dark ones for a photo of an audience.
    """
    folder = models_dir / "custom"
    folder.mkdir(parents=True, exist_ok=True)
    graph, tokenizer = text_graph(export), clip_tokenizer_json()
    cat, audience = (direct(graph, reference_feeds(export, tokens)) for tokens in (CAT, AUDIENCE))
    pictures = bright_or_dark_graph(cat, audience)
    for name, content in (
        ("two-pictures.onnx", pictures),
        ("two-pictures-text.onnx", graph),
        ("two-pictures-text.json", tokenizer),
        ("two-pictures.toml", _image_toml(pictures).encode()),
        ("two-pictures-text.toml", text_toml(graph, tokenizer).encode()),
    ):
        (folder / name).write_bytes(content)


def text_toml(graph: bytes, tokenizer: bytes) -> str:
    """The description of the tower `two-pictures-text`."""
    return f"""
name = "two-pictures-text"
kind = "text_embedder"
file = "two-pictures-text.onnx"
sha256 = "{sha256(graph)}"
tokenizer = "two-pictures-text.json"
tokenizer_sha256 = "{sha256(tokenizer)}"
dimension = 512
threshold = 0.25
licence = "MIT"
summary = "for tests"
"""


def _image_toml(graph: bytes) -> str:
    return f"""
name = "two-pictures"
kind = "image_embedder"
file = "two-pictures.onnx"
sha256 = "{sha256(graph)}"
mean = 127.5
std = 127.5
size = 224
resize = "shortest_crop"
dimension = 512
threshold = 0.9
text_tower = "two-pictures-text"
licence = "MIT"
summary = "for tests"
"""


def cosine(some: Vectors, other: Vectors) -> float:
    """Of two vectors of length 1."""
    return float(np.ravel(some).astype(np.float64) @ np.ravel(other).astype(np.float64))


def _integers(export: Export) -> str:
    return "int64" if export is Export.HUGGING_FACE else "int32"


def _place_weights(graph: Graph, export: Export, ids: str) -> str:
    """[1 or batch, length, 1]: what each place counts."""
    if export is Export.UNTRUE:  # a learned weight per place, so that no other length fits
        places = (1 / np.arange(1, 78)).astype(np.float32)
        return graph.constant(places[None, :, None])
    mask = "attention_mask" if export is Export.HUGGING_FACE else ids
    if mask == ids:
        graph.node("Equal", [ids, ids], "every")
        graph.node("Cast", ["every"], "counts", to=onnx.TensorProto.FLOAT)
    else:
        graph.node("Cast", [mask], "counts", to=onnx.TensorProto.FLOAT)
    graph.node("CumSum", ["counts", graph.constant(np.array(1, np.int64))], "place")
    graph.node("Div", ["counts", "place"], "weight")
    return graph.node("Unsqueeze", ["weight", graph.constant(np.array([2], np.int64))], "weights")


def with_integer_inputs(content: bytes, integers: str) -> bytes:
    """A graph whose inputs are integers of that width; `Graph` writes float32 alone."""
    model = onnx.load_from_string(content)
    for node in model.graph.input:
        node.type.tensor_type.elem_type = _INTEGERS[integers]
    return bytes(model.SerializeToString())
