"""A graph of the shape of CLIP's ViT-B/32 image tower, with random weights: the real ones can't be had everywhere.

As in OpenAI's model: patches of 32 pixels, a class token, a layer norm before and after, heads of 64, QuickGELU.
All weights are larger than a trained network's first ones, so that the vector hangs on every pixel.
"""

import numpy as np
from numpy.typing import NDArray

from media_inference.models.graphs.graph import Graph, Shape

SIDE, PATCH, WIDTH, HEADS, DIMENSION = 224, 32, 768, 12, 512
PATCHES = (SIDE // PATCH) ** 2
INPUT, OUTPUT = "pixel_values", "image_embeds"


def vit_b_32_graph(layers: int = 12, seed: int = 0, *, batch: int | str = "batch") -> bytes:
    """``pixel_values`` [N, 3, 224, 224] float32 to ``image_embeds`` [N, 512], not normalised.

    With all 12 layers 88 million weights in 351 MB, made in a few seconds; the same bytes for the same arguments.
    ``batch``: a number fixes N.
    """
    tower = _Tower(seed)
    state = tower.embedded_patches()
    for layer in range(layers):
        state = tower.layer(state, f"layer_{layer}")
    tower.projected(state)
    inputs: Shape = [batch, 3, SIDE, SIDE]
    return tower.graph.serialised({INPUT: inputs}, {OUTPUT: [batch, DIMENSION]})


class _Tower:
    def __init__(self, seed: int) -> None:
        self.graph = Graph()
        self._random = np.random.default_rng(seed)

    def embedded_patches(self) -> str:
        """[N, 50, 768]: the class token and 49 patches, each knowing its place."""
        graph = self.graph
        kernel = self._weights(WIDTH, 3, PATCH, PATCH, scale=2 / PATCH)
        graph.node("Conv", [INPUT, kernel], "patches", kernel_shape=[PATCH] * 2, strides=[PATCH] * 2)
        graph.node("Reshape", ["patches", self._ints(0, WIDTH, PATCHES)], "rows")
        graph.node("Transpose", ["rows"], "tokens", perm=[0, 2, 1])
        graph.node("Shape", [INPUT], "batch_size", start=0, end=1)
        graph.node("Concat", ["batch_size", self._ints(1, WIDTH)], "class_shape", axis=0)
        graph.node("Expand", [self._weights(1, 1, WIDTH), "class_shape"], "class_token")
        graph.node("Concat", ["class_token", "tokens"], "sequence", axis=1)
        graph.node("Add", ["sequence", self._weights(1, PATCHES + 1, WIDTH, scale=0.5)], "placed")
        return self._norm("placed", "pre")

    def layer(self, state: str, name: str) -> str:
        """Attention and a perceptron, each added to what went in."""
        graph = self.graph
        attended = self._attention(self._norm(state, f"{name}_first"), name)
        middle = graph.node("Add", [state, attended], f"{name}_middle")
        wide = self._linear(self._norm(middle, f"{name}_second"), WIDTH, 4 * WIDTH, f"{name}_wide")
        narrow = self._linear(self._quick_gelu(wide), 4 * WIDTH, WIDTH, f"{name}_narrow")
        return graph.node("Add", [middle, narrow], f"{name}_out")

    def projected(self, state: str) -> None:
        """The class token's last state to 512 numbers."""
        self.graph.node("Gather", [state, self._ints(0)], "class_row", axis=1)
        self.graph.node("Flatten", ["class_row"], "class_state")
        normed = self._norm("class_state", "post")
        self.graph.node("MatMul", [normed, self._weights(WIDTH, DIMENSION, scale=WIDTH**-0.5)], OUTPUT)

    def _attention(self, state: str, name: str) -> str:
        graph, heads = self.graph, self._ints(0, PATCHES + 1, HEADS, WIDTH // HEADS)
        turned = {"query": [0, 2, 1, 3], "key": [0, 2, 3, 1], "value": [0, 2, 1, 3]}
        for part, perm in turned.items():
            flat = self._linear(state, WIDTH, WIDTH, f"{name}_{part}")
            graph.node("Reshape", [flat, heads], f"{name}_{part}_heads")
            graph.node("Transpose", [f"{name}_{part}_heads"], f"{name}_{part}_turned", perm=perm)
        graph.node("MatMul", [f"{name}_query_turned", f"{name}_key_turned"], f"{name}_likeness")
        graph.node("Mul", [f"{name}_likeness", graph.scalar((WIDTH // HEADS) ** -0.5)], f"{name}_scaled")
        graph.node("Softmax", [f"{name}_scaled"], f"{name}_weights", axis=-1)
        graph.node("MatMul", [f"{name}_weights", f"{name}_value_turned"], f"{name}_mixed")
        graph.node("Transpose", [f"{name}_mixed"], f"{name}_together", perm=[0, 2, 1, 3])
        graph.node("Reshape", [f"{name}_together", self._ints(0, PATCHES + 1, WIDTH)], f"{name}_joined")
        return self._linear(f"{name}_joined", WIDTH, WIDTH, f"{name}_attended")

    def _quick_gelu(self, values: str) -> str:
        """x * sigmoid(1.702 x), OpenAI's stand-in for GELU."""
        self.graph.node("Mul", [values, self.graph.scalar(1.702)], f"{values}_steep")
        self.graph.node("Sigmoid", [f"{values}_steep"], f"{values}_gate")
        return self.graph.node("Mul", [values, f"{values}_gate"], f"{values}_gated")

    def _linear(self, values: str, wide: int, narrow: int, name: str) -> str:
        product = self.graph.node("MatMul", [values, self._weights(wide, narrow, scale=wide**-0.5)], f"{name}_product")
        return self.graph.node("Add", [product, self._weights(narrow, scale=0.02)], name)

    def _norm(self, values: str, name: str) -> str:
        scale, shift = self.graph.constant(np.ones(WIDTH, np.float32)), self._weights(WIDTH, scale=0.02)
        return self.graph.node("LayerNormalization", [values, scale, shift], f"{name}_norm", axis=-1)

    def _weights(self, *shape: int, scale: float = 1.0) -> str:
        weights: NDArray[np.float32] = self._random.standard_normal(shape, np.float32)
        weights *= np.float32(scale)
        return self.graph.constant(weights)

    def _ints(self, *values: int) -> str:
        return self.graph.constant(np.array(values, np.int64))
