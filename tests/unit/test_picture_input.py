"""Graphs of every layout: what they declare is held against the description, what they are given is what they want."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from media_inference.errors import CannotStart
from media_inference.models.embedder import Colour, Fit, Input
from media_inference.models.graphs.graph import Graph, Shape
from media_inference.models.pixels import Interpolation, pad, resize, shortest_crop
from tests.stands.model_files import built_model, load_embedder
from tests.stands.pictures import noise
from tests.stands.window_graph import given, window_graph

PLAIN = Input(size=32, fit=Fit.SHORTEST_CROP, mean=(10.0, 20.0, 30.0), std=(2.0, 3.0, 4.0))
PICTURES = [noise(50, 71, seed=seed) for seed in range(3)]


class Layout(NamedTuple):
    """The picture that a graph declares, and how pixels come to it."""

    picture: tuple[int, int, int]
    order: tuple[int, int, int]


LAYOUTS = {"channels first": Layout((3, 32, 32), (2, 0, 1)), "channels last": Layout((32, 32, 3), (0, 1, 2))}

FITS: dict[Fit, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    Fit.SHORTEST_CROP: lambda pixels: shortest_crop(pixels, 32),
    Fit.WHOLE: lambda pixels: resize(pixels, 32, 32, Interpolation.BICUBIC),
    Fit.PAD: lambda pixels: pad(pixels, 32, Interpolation.BICUBIC),
}


@pytest.mark.parametrize("batch", ["batch", 1])
@pytest.mark.parametrize("colour", list(Colour))
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_graph_is_given_what_its_description_says(layout: Layout, fit: Fit, colour: Colour, batch: int | str) -> None:
    graph, window = window_graph(layout.picture, batch=batch)
    network = load_embedder(built_model(graph, replace(PLAIN, fit=fit, colour=colour)))

    seen = given(network.embed(PICTURES))

    fitted = np.stack([FITS[fit](each) for each in PICTURES]).astype(np.float64)
    coloured = fitted[..., ::-1] if colour is Colour.BGR else fitted
    numbers = (coloured - np.array(PLAIN.mean)) / np.array(PLAIN.std)
    expected = np.stack([each.transpose(layout.order).ravel()[window] for each in numbers])
    np.testing.assert_allclose(seen, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "fault"),
    [
        ([8, 3, 32, 32], "takes pictures [8, 3, 32, 32], always 8 pictures at once: export it with a free batch"),
        (["n", 3, 64, 64], "takes pictures [?, 3, 64, 64], but size is 32: write size = 64"),
        (["n", 64, 64, 3], "takes pictures [?, 64, 64, 3], but size is 32: write size = 64"),
        (["n", 3, "h", 48], "takes pictures [?, 3, ?, 48], but size is 32: write size = 48"),
        (["n", 3, 32, 64], "but pictures are given to it as squares"),
        (["n", 1, 32, 32], "not three colours per pixel"),
        (["n", 4, 32, 32], "not three colours per pixel"),
        (["n", 3072], "takes pictures [?, 3072], which is no batch of pictures"),
    ],
)
def test_a_graph_that_contradicts_its_description_is_told_so(shape: Shape, fault: str) -> None:
    graph = Graph()
    graph.node("Flatten", ["pictures"], "vector")
    content = graph.serialised({"pictures": shape}, {"vector": ["n", "m"]})

    with pytest.raises(CannotStart, match=re.escape(fault)):
        load_embedder(built_model(content, PLAIN))


@pytest.mark.parametrize("picture", [("c", "h", "w"), (3, "h", "w"), ("h", "w", 3)])
def test_free_axes_may_be_anything(picture: tuple[int | str, ...]) -> None:
    graph = Graph()
    graph.node("Flatten", ["pictures"], "flat")
    window = graph.constant(np.arange(512) * 6)
    graph.node("Gather", ["flat", window], "vector", axis=1)
    content = graph.serialised({"pictures": ["n", *picture]}, {"vector": ["n", 512]})

    vectors = load_embedder(built_model(content, PLAIN)).embed(PICTURES)

    assert vectors.shape == (3, 512)


def test_a_graph_that_wants_more_than_pictures_is_told_so() -> None:
    graph = Graph()
    graph.node("Add", ["pixel_values", "input_ids"], "vector")
    content = graph.serialised({"pixel_values": ["n", 3, 32, 32], "input_ids": [1]}, {"vector": ["n", 3, 32, 32]})

    with pytest.raises(CannotStart, match=r"more inputs than pictures \(pixel_values, input_ids\)"):
        load_embedder(built_model(content, PLAIN))


def test_a_graph_of_other_numbers_is_told_what_it_was_given() -> None:
    """Free axes that the weights do not bear out, as in an export whose positions are fixed."""
    graph = Graph()
    graph.node("Flatten", ["pictures"], "flat")
    weights = graph.constant(np.ones((3 * 48 * 48, 512), np.float32))
    graph.node("MatMul", ["flat", weights], "vector")
    content = graph.serialised({"pictures": ["n", 3, "h", "w"]}, {"vector": ["n", 512]})

    with pytest.raises(CannotStart, match=r"fails with pictures \[1, 3, 32, 32\] in float32 .*; is size right\?"):
        load_embedder(built_model(content, PLAIN))
