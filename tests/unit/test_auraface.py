"""The ArcFace contract on graphs whose vectors can be worked out by hand, as AuraFace's file and others have it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from media_inference.models.alignment import SIDE
from media_inference.models.arcface import AURAFACE_V1
from media_inference.models.embedder import LARGEST_BATCH, Embedder
from media_inference.models.graphs.graph import Graph, Shape
from media_inference.models.kinds import Pixels
from media_inference.models.model import BuiltFile
from tests.stands.model_files import load_embedder
from tests.stands.pictures import noise

DIMENSION = 512
PIXELS = SIDE * SIDE

# Number i of the vector is number PLACES[i] of the input, counted channel by channel, row by row.
PLACES = np.arange(DIMENSION) % 3 * PIXELS + np.arange(DIMENSION) * 20

# What the graph adds to it: nothing but 3 to the last one, or the scale of the input would be lost in unit vectors.
ADDED = np.append(np.zeros(DIMENSION - 1), 3).astype(np.float32)


def arcface_graph(
    *, input_batch: int | str = "batch", output_batch: int | str = 1, reshape: Sequence[int] | None = None
) -> bytes:
    """``input.1`` [N, 3, 112, 112] to ``683`` [N, 512], some numbers of the input, not normalised.

    Whatever it does, it says that its output has ``output_batch`` rows. ``reshape``: what breaks it for a larger batch.
    """
    graph = Graph()
    graph.node("Flatten", ["input.1"], "flat")
    graph.node("Gather", ["flat", graph.constant(PLACES)], "picked", axis=1)
    graph.node("Add", ["picked", graph.constant(ADDED)], "raised")
    shape = graph.constant(np.array(reshape or [-1, DIMENSION], np.int64))
    graph.node("Reshape", ["raised", shape], "683")
    outputs: dict[str, Shape] = {"683": [output_batch, DIMENSION]}
    return graph.serialised({"input.1": [input_batch, 3, SIDE, SIDE]}, outputs)


def load(graph: bytes) -> Embedder:
    """AuraFace's entry of the catalogue around another graph."""
    return load_embedder(replace(AURAFACE_V1, files=(BuiltFile("glintr100.onnx", lambda: graph),)))


def test_the_graph_gets_red_green_blue_less_127_5_over_127_5() -> None:
    face = np.zeros((SIDE, SIDE, 3), np.uint8) + np.array([255, 0, 153], np.uint8)

    (vector,) = load(arcface_graph()).embed([face])

    # (255 - 127.5) / 127.5 = 1, (0 - 127.5) / 127.5 = -1, (153 - 127.5) / 127.5 = 0.2, in turn;
    # of 512 numbers 171 are red, 171 green, 170 blue; the last one is green, and the graph makes it 3 - 1 = 2.
    length = np.sqrt(171 * 1 + 170 * 1 + 2**2 + 170 * 0.2**2)
    assert vector[:6] * length == pytest.approx([1, -1, 0.2, 1, -1, 0.2], abs=1e-5)
    assert vector[511] * length == pytest.approx(2, abs=1e-5)


def test_rows_and_columns_stay_where_they_are() -> None:
    face = np.full((SIDE, SIDE, 3), 128, np.uint8)
    face[53, 64] = (255, 255, 255)  # number 53 * 112 + 64 = 6000 of its channel

    (vector,) = load(arcface_graph()).embed([face])

    # Number 300 of the vector is number 300 * 20 of channel 300 % 3: red at (53, 64). All others are 0.5 / 127.5.
    assert np.argmax(vector[:511]) == 300
    assert vector[300] / vector[0] == pytest.approx(127.5 / 0.5, rel=1e-4)


@pytest.mark.parametrize(
    ("graph", "batch"),
    [
        (arcface_graph(), LARGEST_BATCH),  # says 1 and takes any: AuraFace
        (arcface_graph(output_batch="batch"), LARGEST_BATCH),
        (arcface_graph(reshape=[1, DIMENSION]), 1),  # says any and fails with two
        (arcface_graph(reshape=[1, -1]), 1),  # says any and makes one long vector of two
        (arcface_graph(input_batch=1), 1),
    ],
    ids=["output says 1", "true", "fails with two", "one long vector", "fixed at 1"],
)
def test_a_graph_is_tried_with_two_faces_whatever_it_says(graph: bytes, batch: int) -> None:
    faces = [noise(SIDE, SIDE, seed=seed) for seed in range(LARGEST_BATCH + 3)]
    network = load(graph)

    vectors = network.embed(faces)

    assert network._batch == batch
    np.testing.assert_allclose(vectors, [_by_hand(face) for face in faces], atol=1e-6)


def _by_hand(face: Pixels) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    numbers = face.transpose(2, 0, 1).reshape(-1)[PLACES].astype(np.float64)
    values = (numbers - 127.5) / 127.5 + ADDED
    return np.asarray(values / np.linalg.norm(values))
