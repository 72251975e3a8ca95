"""Graphs with SCRFD's outputs that see what a test puts into them, so that every box can be worked out by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media_inference.models.graphs.graph import Graph, Shape

STRIDES = (8, 16, 32)
PER_ANCHOR = {"score": 1, "box": 4, "landmarks": 10}
ORDER = tuple((kind, stride) for kind in PER_ANCHOR for stride in STRIDES)
"""Of the outputs: three scores, three boxes, three times landmarks."""


@dataclass(frozen=True)
class Seen:
    """What one anchor says, in units of its stride: distances left, top, right, bottom, and five points (x, y)."""

    stride: int
    column: int
    row: int
    anchor: int = 0
    score: float = 0.9
    distances: tuple[float, float, float, float] = (1, 2, 3, 4)
    points: tuple[float, ...] = (0,) * 10


def scrfd_graph(
    seen: Sequence[Seen] = (),
    *,
    side: int = 640,
    shape: Shape | None = None,
    order: Sequence[tuple[str, int]] = ORDER,
    batched: bool = False,
    lit_by: tuple[int, int, int] | None = None,
) -> bytes:
    """A graph with SCRFD's nine outputs for a ``side`` x ``side`` input, under names that say nothing.

    ``order`` of the outputs; ``batched``: with a first axis of 1. With ``lit_by`` (channel, column, row) every score is
    multiplied by that number of the input: a test sees by the scores what the graph was given.
    """
    graph = Graph()
    tensors = _tensors(seen, side)
    outputs: dict[str, Shape] = {}
    for number, (kind, stride) in enumerate(order):
        values = tensors[kind, stride][None] if batched else tensors[kind, stride]
        name = f"output_{number}"
        if kind == "score" and lit_by is not None:
            graph.node("Mul", [graph.constant(values), _number(graph, lit_by, number)], name)
        else:
            graph.node("Add", [graph.constant(values), _zero(graph, number)], name)
        outputs[name] = list(values.shape)
    return graph.serialised({"input.1": shape or [1, 3, side, side]}, outputs)


def _tensors(seen: Sequence[Seen], side: int) -> Mapping[tuple[str, int], NDArray[np.float32]]:
    """By kind and stride: [anchors, numbers per anchor], two anchors per cell, cells row by row."""
    tensors = {
        (kind, stride): np.zeros((2 * (side // stride) ** 2, numbers), np.float32)
        for kind, numbers in PER_ANCHOR.items()
        for stride in STRIDES
    }
    for one in seen:
        index = 2 * (one.row * (side // one.stride) + one.column) + one.anchor
        tensors["score", one.stride][index] = one.score
        tensors["box", one.stride][index] = one.distances
        tensors["landmarks", one.stride][index] = one.points
    return tensors


def _zero(graph: Graph, number: int) -> str:
    """0, computed from the input, so that the graph needs it."""
    graph.node("ReduceMean", ["input.1"], f"mean_{number}", keepdims=0)
    return graph.node("Mul", [f"mean_{number}", graph.constant(np.float32(0))], f"zero_{number}")


def _number(graph: Graph, at: tuple[int, int, int], number: int) -> str:
    """One number of the input."""
    channel, column, row = at
    ends = ([channel, row, column], [channel + 1, row + 1, column + 1], [1, 2, 3])
    constants = [graph.constant(np.array(values, np.int64)) for values in ends]
    graph.node("Slice", ["input.1", *constants], f"pixel_{number}")
    return graph.node("ReduceMean", [f"pixel_{number}"], f"number_{number}", keepdims=0)
