"""The weights of the stand for ViT-B/32 under the names that the transformers library gives them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Weights = NDArray[np.float32]

_LINEAR = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "attended": "self_attn.out_proj",
    "wide": "mlp.fc1",
    "narrow": "mlp.fc2",
}
_NORMS = {"first": "layer_norm1", "second": "layer_norm2"}


def write_weights(graph: Path, path: Path) -> None:
    """The weights of the graph as `CLIPModel` wants them, in NumPy's format."""
    named: dict[str, Any] = dict(_named(onnx.load(graph).graph))
    np.savez(path, **named)


def _named(graph: onnx.GraphProto) -> Iterator[tuple[str, Weights]]:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    inputs = {node.output[0]: [constants.get(name) for name in node.input] for node in graph.node}
    tower = "vision_model"
    yield f"{tower}.embeddings.patch_embedding.weight", _there(inputs["patches"][1])
    yield f"{tower}.embeddings.class_embedding", _there(inputs["class_token"][0]).reshape(-1)
    yield f"{tower}.embeddings.position_embedding.weight", _there(inputs["placed"][1])[0]
    yield from _norm(inputs, "pre_norm", f"{tower}.pre_layrnorm")
    yield from _norm(inputs, "post_norm", f"{tower}.post_layernorm")
    yield "visual_projection.weight", _there(inputs["image_embeds"][1]).T
    for layer in range(sum(node.op_type == "Softmax" for node in graph.node)):
        ours, theirs = f"layer_{layer}", f"{tower}.encoder.layers.{layer}"
        for part, name in _LINEAR.items():
            yield f"{theirs}.{name}.weight", _there(inputs[f"{ours}_{part}_product"][1]).T
            yield f"{theirs}.{name}.bias", _there(inputs[f"{ours}_{part}"][1])
        for part, name in _NORMS.items():
            yield from _norm(inputs, f"{ours}_{part}_norm", f"{theirs}.{name}")


def _norm(inputs: dict[str, list[Weights | None]], ours: str, theirs: str) -> Iterator[tuple[str, Weights]]:
    yield f"{theirs}.weight", _there(inputs[ours][1])
    yield f"{theirs}.bias", _there(inputs[ours][2])


def _there(weights: Weights | None) -> Weights:
    assert weights is not None
    return weights
