"""A descriptor of 512 numbers from analytic filters, as an ONNX graph: nothing in it was learned.

Gabor energy (Daugman 1985) in 6 directions at 4 octaves, its logarithm with the mean over the picture taken away, so
that light and contrast fall out, plus 8 coarse colours; both in 4 x 4 soft cells: 16 * (24 + 8) = 512.
"""

import numpy as np
from numpy.typing import NDArray

from media_inference.models.graphs.graph import Graph
from media_inference.models.kinds import DIMENSION

GRID = 4
DIRECTIONS = 6
OCTAVES = 4
KERNEL = 9
WAVELENGTH = 4.0
FLOOR = 2e-4
"""Energy that counts as nothing (luminance is 0..1): below it lie noise and JPEG blocks."""

PLAIN = 0.05
"""What even a picture of one grey has in each colour, so that its vector is not zero; too little to matter else."""

_OPPONENTS = np.array([[0.299, 0.587, 0.114], [1, -1, 0], [-0.5, -0.5, 1]], np.float32)
"""Luminance, red against green, blue against yellow."""

COLOURS = 8
COLOUR_WEIGHT = 4.0
"""Colour carries about a quarter of the length: with 8 a tiger cat on a brown floor is a cup of coffee (0.79)."""


def gabor_graph(side: int) -> bytes:
    """``pictures`` [N, 3, side, side] float32 RGB 0..255 to ``vectors`` [N, 512]; ``side`` is a multiple of 32."""
    graph = Graph()
    graph.node("Mul", ["pictures", graph.scalar(1 / 255)], "unit")
    graph.node("Conv", ["unit", graph.constant(_OPPONENTS[:, :, None, None])], "opponents")
    graph.node("Split", ["opponents", graph.constant(np.array([1, 2], np.int64))], ["luma", "chroma"], axis=1)
    energies = [_octave(graph, octave, side) for octave in range(OCTAVES)]
    graph.node("Concat", energies, "texture", axis=1)
    colours = _colours(graph, side)
    graph.node("Concat", ["texture", colours], "cells", axis=1)
    graph.node("Flatten", ["cells"], "vectors")
    return graph.serialised({"pictures": ["batch", 3, side, side]}, {"vectors": ["batch", DIMENSION]})


def _octave(graph: Graph, octave: int, side: int) -> str:
    """[N, 6, 16]: the log energy of one octave by direction and cell, less its mean."""
    here, size = f"octave_{octave}", side >> octave
    luma = (
        "luma"
        if octave == 0
        else graph.node("AveragePool", ["luma"], f"{here}_luma", kernel_shape=[2**octave] * 2, strides=[2**octave] * 2)
    )
    border = KERNEL // 2
    pads = graph.constant(np.array([0, 0, border, border] * 2, np.int64))
    graph.node("Pad", [luma, pads], f"{here}_padded", mode="reflect")
    graph.node("Conv", [f"{here}_padded", graph.constant(_filters())], f"{here}_waves")
    graph.node("Mul", [f"{here}_waves"] * 2, f"{here}_squares")
    pair = np.concatenate([np.eye(DIRECTIONS), np.eye(DIRECTIONS)], axis=1)[:, :, None, None].astype(np.float32)
    graph.node("Conv", [f"{here}_squares", graph.constant(pair)], f"{here}_energy")
    cells = _cells(graph, f"{here}_energy", DIRECTIONS, size)
    graph.node("Add", [cells, graph.scalar(FLOOR)], f"{here}_floored")
    graph.node("Log", [f"{here}_floored"], f"{here}_log")
    graph.node("ReduceMean", [f"{here}_log"], f"{here}_mean", axes=[1, 2], keepdims=1)
    return graph.node("Sub", [f"{here}_log", f"{here}_mean"], f"{here}_features")


def _colours(graph: Graph, side: int) -> str:
    """[N, 8, 16]: light against the picture's own mean, both opponent colours, and how much of each there is."""
    small = graph.node("AveragePool", ["opponents"], "small", kernel_shape=[side // 32] * 2, strides=[side // 32] * 2)
    graph.node("Split", [small, graph.constant(np.array([1, 2], np.int64))], ["small_luma", "small_chroma"], axis=1)
    graph.node("ReduceMean", ["small_luma"], "light", axes=[2, 3], keepdims=1)
    graph.node("Sub", ["small_luma", "light"], "relief")
    graph.node("Concat", ["relief", "small_chroma"], "signed", axis=1)
    graph.node("Relu", ["signed"], "positive")
    graph.node("Neg", ["signed"], "opposite")
    graph.node("Relu", ["opposite"], "negative")
    graph.node("Abs", ["small_chroma"], "vivid")
    graph.node("Concat", ["positive", "negative", "vivid"], "colours", axis=1)
    cells = _cells(graph, "colours", COLOURS, 32)
    graph.node("Mul", [cells, graph.scalar(COLOUR_WEIGHT)], "weighted")
    return graph.node("Add", ["weighted", graph.scalar(PLAIN)], "weighted_colours")


def _cells(graph: Graph, maps: str, channels: int, size: int) -> str:
    """[N, channels, 16]: weighted means in overlapping windows, so that nothing jumps when a picture shifts a bit."""
    flat = graph.node("Reshape", [maps, graph.constant(np.array([0, channels, size * size], np.int64))], f"{maps}_flat")
    return graph.node("MatMul", [flat, graph.constant(_windows(size))], f"{maps}_cells")


def _windows(size: int) -> NDArray[np.float32]:
    """[size * size, 16]: a Gaussian around the middle of each cell, summing to 1."""
    at = (np.arange(size) + 0.5) / size * GRID
    middles = np.arange(GRID) + 0.5
    weights = np.exp(-((at[:, None] - middles) ** 2) / (2 * 0.5**2))
    weights /= weights.sum(axis=0)
    windows = np.einsum("yi,xj->yxij", weights, weights).reshape(size * size, GRID * GRID)
    return np.asarray(windows, np.float32)


def _filters() -> NDArray[np.float32]:
    """[12, 1, 9, 9]: six even filters without a mean, then six odd ones."""
    y, x = np.mgrid[0:KERNEL, 0:KERNEL] - KERNEL // 2
    angles = (np.arange(DIRECTIONS) * np.pi / DIRECTIONS)[:, None, None]
    along = x * np.cos(angles) + y * np.sin(angles)
    envelope = np.exp(-(x**2 + y**2) / (2 * (0.5 * WAVELENGTH) ** 2))
    envelope /= envelope.sum()
    even, odd = (envelope * wave(2 * np.pi * along / WAVELENGTH) for wave in (np.cos, np.sin))
    even -= envelope * even.sum(axis=(1, 2), keepdims=True)
    return np.concatenate([even, odd])[:, None].astype(np.float32)
