"""A graph that hands on what it was given: its vector is a window onto its input."""

import numpy as np
from numpy.typing import NDArray

from media_inference.models.graphs.graph import Graph, Shape
from media_inference.models.kinds import DIMENSION, Vectors


def window_graph(picture: tuple[int, int, int], *, batch: int | str = "batch") -> tuple[bytes, NDArray[np.int64]]:
    """``pixel_values`` [N, *picture] to ``vector`` [N, 512], and the flat places of the 511 numbers that it shows.

    The last number is 1, so that `given` finds the others again after the vector was brought to length 1.
    """
    graph = Graph()
    window = np.sort(np.random.default_rng(7).choice(int(np.prod(picture)), DIMENSION - 1, replace=False))
    graph.node("Flatten", ["pixel_values"], "flat")
    graph.node("Gather", ["flat", graph.constant(window)], "shown", axis=1)
    graph.node("Pad", ["shown", graph.constant(np.array([0, 0, 0, 1], np.int64)), graph.scalar(1.0)], "vector")
    shape: Shape = [batch, *picture]
    return graph.serialised({"pixel_values": shape}, {"vector": [batch, DIMENSION]}), window


def given(vectors: Vectors) -> NDArray[np.float32]:
    """[N, 511]: the numbers that the graph was given."""
    return np.asarray(vectors[:, :-1] / vectors[:, -1:], np.float32)
