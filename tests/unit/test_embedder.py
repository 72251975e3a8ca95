"""Embedding networks: the CLIP contract, batches, and graphs that are not what they say."""

from collections.abc import Mapping

import numpy as np
import onnxruntime
import pytest

from media_inference.errors import CannotStart, ErrorCode, PermanentError
from media_inference.models import clip
from media_inference.models.embedder import Colour, Embedder, Fit, Input, vector_output
from media_inference.models.pixels import normalise, shortest_crop
from media_inference.models.session import Feed, Tensor
from tests.stands.model_files import built_model, clip_like_graph, load_embedder
from tests.stands.pictures import noise

PICTURES = [noise(300, 451, seed=seed) for seed in range(20)]


class OneByOne:
    """A graph that says it takes any batch and fails with more than one picture, as some face embedders do."""

    input_names = ("picture",)
    input_shapes = ((None, 3, 16, 16),)
    input_types = ("float32",)
    output_names = ("vector",)
    output_shapes = ((1, 512),)

    def __init__(self) -> None:
        self.batches: list[int] = []

    def run(self, feeds: Mapping[str, Feed], *, together: int = 1) -> dict[str, Tensor]:  # noqa: ARG002  # as its protocol
        tensor = feeds["picture"]
        if len(tensor) > 1:
            raise PermanentError(ErrorCode.INTERNAL, "the model did not take its input")
        self.batches.append(len(tensor))
        return {"vector": np.full((1, 512), tensor.mean() + 2, np.float32)}


def test_clip_vectors_are_those_of_onnx_runtime_itself_at_length_one() -> None:
    graph = clip_like_graph()
    network = load_embedder(built_model(graph, clip.INPUT))

    vectors = network.embed(PICTURES)

    mean, std = np.array(clip.MEAN, np.float32), np.array(clip.STD, np.float32)
    tensor = normalise([shortest_crop(each, 224) for each in PICTURES], mean, std)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (direct,) = session.run(["image_embeds"], {"pixel_values": tensor})
    np.testing.assert_allclose(vectors, direct / np.linalg.norm(direct, axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("names", [("pooled", "image_embeds"), ("image_embeds", "pooled"), ("pooled", "EMBEDDING")])
def test_of_two_outputs_the_one_that_is_called_an_embedding_is_taken(names: tuple[str, str]) -> None:
    outputs = {name: np.zeros((1, 512), np.float32) for name in names}

    assert vector_output("clip", outputs) != "pooled"
    assert vector_output("clip", {"hidden": outputs["pooled"], "pooled": outputs["pooled"]}) == "hidden"


def test_a_vector_does_not_depend_on_its_company() -> None:
    network = load_embedder(built_model(clip_like_graph(), clip.INPUT))

    together, alone = network.embed(PICTURES), [network.embed([each])[0] for each in PICTURES]

    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_a_graph_fixed_at_batch_one_is_run_one_by_one() -> None:
    fixed = load_embedder(built_model(clip_like_graph(batch=1), clip.INPUT))
    free = load_embedder(built_model(clip_like_graph(), clip.INPUT))

    np.testing.assert_allclose(fixed.embed(PICTURES[:3]), free.embed(PICTURES[:3]), atol=1e-6)


def test_a_graph_that_fails_with_two_pictures_is_run_one_by_one() -> None:
    session = OneByOne()
    network = Embedder("arcface", session, Input(size=16, fit=Fit.WHOLE))

    assert network.embed(PICTURES[:3]).shape == (3, 512)
    assert session.batches == [1, 1, 1, 1]  # the first to find the output


def test_no_pictures_give_no_vectors() -> None:
    network = load_embedder(built_model(clip_like_graph(), clip.INPUT))

    assert network.embed([]).shape == (0, 512)


def test_a_graph_of_another_dimension_can_not_start() -> None:
    model = built_model(clip_like_graph(dimension=768), clip.INPUT, name="clip-large")

    with pytest.raises(CannotStart, match=r"model clip-large: .*512 numbers.*image_embeds \[1, 768\]"):
        load_embedder(model)


def test_an_input_that_the_graph_does_not_have_can_not_start() -> None:
    wanted = Input(size=224, fit=Fit.SHORTEST_CROP, name="pixels")

    with pytest.raises(CannotStart, match="no input 'pixels', only pixel_values"):
        load_embedder(built_model(clip_like_graph(), wanted))


def test_an_input_of_another_size_can_not_start() -> None:
    with pytest.raises(CannotStart, match=r"takes pixel_values \[\?, 3, 224, 224\], but size is 336: write size = 224"):
        load_embedder(built_model(clip_like_graph(), Input(size=336, fit=Fit.SHORTEST_CROP)))


def test_a_network_that_wants_blue_first_gets_it() -> None:
    graph = clip_like_graph()
    rgb = load_embedder(built_model(graph, Input(size=224, fit=Fit.SHORTEST_CROP)))
    bgr = load_embedder(built_model(graph, Input(size=224, fit=Fit.SHORTEST_CROP, colour=Colour.BGR)))
    swapped = np.ascontiguousarray(PICTURES[0][:, :, ::-1])

    np.testing.assert_allclose(rgb.embed([PICTURES[0]]), bgr.embed([swapped]), atol=1e-6)


def test_a_picture_without_a_usable_vector_is_an_error_and_not_a_zero() -> None:
    network = load_embedder(built_model(clip_like_graph(), Input(224, Fit.SHORTEST_CROP, (0, 0, 0), (1, 1, 1))))

    with pytest.raises(PermanentError, match="no usable vector"):
        network.embed([np.zeros((224, 224, 3), np.uint8)])
