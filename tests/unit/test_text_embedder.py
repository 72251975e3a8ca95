"""Text towers: both ways in which CLIP is exported, against ONNX Runtime itself, and graphs that are something else."""

from pathlib import Path

import numpy as np
import pytest

from media_inference.errors import CannotStart, ErrorCode, PermanentError
from media_inference.models.graphs.graph import Graph
from media_inference.models.text_embedder import TokenEmbedder
from media_inference.runtime.session import OrtSession
from media_inference.runtime.text_tower import load_text_tower
from tests.stands.text_towers import (
    AUDIENCE,
    CAT,
    Export,
    cosine,
    direct,
    reference_feeds,
    text_graph,
    text_model,
    with_integer_inputs,
)


def embedder(graph: bytes) -> TokenEmbedder:
    return TokenEmbedder("tower", OrtSession(graph, model="tower", threads=1))


@pytest.mark.parametrize("export", Export)
@pytest.mark.parametrize(("text", "tokens"), [("a photo of a cat", CAT), ("a photo of an audience", AUDIENCE)])
def test_the_vector_of_a_text_is_that_of_onnx_runtime_on_the_golden_tokens(
    export: Export, text: str, tokens: list[int]
) -> None:
    graph = text_graph(export)
    tower = load_text_tower(text_model(graph), Path("nowhere"), threads=1)

    vectors = tower.embed(text)

    assert vectors.shape == (1, 512)
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-6)
    assert cosine(vectors, direct(graph, reference_feeds(export, tokens))) >= 0.99999


@pytest.mark.parametrize("export", Export)
def test_texts_of_different_words_are_apart(export: Export) -> None:
    tower = load_text_tower(text_model(text_graph(export)), Path("nowhere"), threads=1)

    assert cosine(tower.embed("a photo of a cat"), tower.embed("a photo of an audience")) < 0.999
    assert cosine(tower.embed("a cat on a mat"), tower.embed("a mat on a cat")) < 0.999


@pytest.mark.parametrize("integers", ["int32", "int64"])
@pytest.mark.parametrize("export", [Export.HUGGING_FACE, Export.OPEN_CLIP])
def test_tokens_are_as_wide_as_the_graph_wants_them(export: Export, integers: str) -> None:
    usual, other = (embedder(text_graph(export, integers=wanted)) for wanted in ("", integers))

    assert cosine(usual.embed(CAT), other.embed(CAT)) == pytest.approx(1, abs=1e-6)


def test_a_graph_of_one_length_with_a_mask_gets_the_end_repeated_and_masked() -> None:
    graph = Graph()
    graph.node("Mul", ["input_ids", "attention_mask"], "seen")
    graph.node("Concat", ["input_ids", "attention_mask", "seen"], "all", axis=1)
    graph.node("Cast", ["all"], "numbers", to=1)
    spare = graph.constant(np.zeros((1, 512 - 3 * 77), np.float32))
    graph.node("Concat", ["numbers", spare], "text_embeds", axis=1)
    content = graph.serialised({"input_ids": [1, 77], "attention_mask": [1, 77]}, {"text_embeds": [1, 512]})

    (vector,) = embedder(with_integer_inputs(content, "int64")).embed(CAT)

    padded = [*CAT, *[CAT[-1]] * 70]
    mask = [1] * 7 + [0] * 70
    expected = np.array([*padded, *mask, *np.multiply(padded, mask), *[0] * (512 - 3 * 77)], np.float64)
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)


def test_the_length_of_a_text_is_read_from_the_graph() -> None:
    assert embedder(text_graph(Export.HUGGING_FACE)).longest == 77
    assert embedder(_shorter_graph(16)).longest == 16


def test_a_text_that_is_longer_than_a_short_graph_takes_loses_its_end() -> None:
    graph = _shorter_graph(16)
    tower = load_text_tower(text_model(graph), Path("nowhere"), threads=1)

    cut = direct(graph, {"text": np.array([[49406, *[2368] * 14, 49407]], np.int32)})

    assert cosine(tower.embed("cat " * 40), cut) >= 0.99999


def test_of_two_vectors_the_one_that_is_called_an_embedding_is_taken() -> None:
    """In exports by Hugging Face what comes before the projection may come first, as wide as what comes after it."""
    graph = Graph()
    graph.node("Cast", ["input_ids"], "pooler_output", to=1)
    graph.node("Mul", ["pooler_output", "pooler_output"], "text_embeds")
    names = ("pooler_output", "text_embeds")
    content = graph.serialised({"input_ids": [1, 512]}, {name: [1, 512] for name in names})

    (vector,) = embedder(with_integer_inputs(content, "int64")).embed([1, 2, 3])

    np.testing.assert_allclose(vector[:3], np.array([1, 4, 9]) / np.linalg.norm([1, 4, 9]), atol=1e-6)


def test_a_graph_of_another_dimension_can_not_start() -> None:
    with pytest.raises(CannotStart, match=r"model tower: .*512 numbers per text, .*text_embeds \[1, 768\]"):
        embedder(text_graph(Export.HUGGING_FACE, dimension=768))


def test_a_graph_with_other_inputs_can_not_start() -> None:
    graph = Graph()
    graph.node("Add", ["input_ids", "position_ids"], "sums")
    graph.node("Cast", ["sums"], "text_embeds", to=1)
    content = graph.serialised({name: [1, 512] for name in ("input_ids", "position_ids")}, {"text_embeds": [1, 512]})

    with pytest.raises(CannotStart, match="at most a mask, but its graph takes input_ids, position_ids"):
        embedder(with_integer_inputs(content, "int64"))


def test_a_graph_of_pictures_can_not_start() -> None:
    graph = Graph()
    graph.node("Mul", ["pixel_values", graph.scalar(2)], "image_embeds")

    with pytest.raises(CannotStart, match="numbers of tokens, but its input pixel_values is float32"):
        embedder(graph.serialised({"pixel_values": [1, 512]}, {"image_embeds": [1, 512]}))


def test_a_text_without_a_usable_vector_is_an_error_and_not_a_zero() -> None:
    graph = Graph()
    graph.node("Sub", ["text", "text"], "zero")
    graph.node("Cast", ["zero"], "text_embeds", to=1)
    content = graph.serialised({"text": [1, 512]}, {"text_embeds": [1, 512]})

    with pytest.raises(PermanentError, match="no usable vector") as caught:
        embedder(with_integer_inputs(content, "int32")).embed(CAT)

    assert caught.value.code is ErrorCode.INTERNAL


def _shorter_graph(length: int) -> bytes:
    graph = Graph()
    graph.node("Cast", ["text"], "numbers", to=1)
    weights = np.random.default_rng(5).normal(size=(length, 512)).astype(np.float32)
    graph.node("MatMul", ["numbers", graph.constant(weights)], "text_embeds")
    content = graph.serialised({"text": ["batch", length]}, {"text_embeds": ["batch", 512]})
    return with_integer_inputs(content, "int32")
