"""SCRFD's arithmetic on a graph whose answers are known: where each anchor lies, and what its numbers mean."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from media_inference.errors import CannotStart
from media_inference.models.graphs.graph import Graph
from media_inference.models.kinds import DetectedFace, Pixels
from media_inference.models.model import BuiltFile
from media_inference.models.scrfd import BUFFALO_L_DETECTOR, Scrfd
from media_inference.runtime.load import load_network
from tests.stands.detector_graphs import ORDER, STRIDES, Seen, scrfd_graph

SQUARE = np.zeros((640, 640, 3), np.uint8)


def load(graph: bytes) -> Scrfd:
    """The catalogue's way of running such a graph."""
    model = replace(BUFFALO_L_DETECTOR, name="scrfd", files=(BuiltFile("model.onnx", lambda: graph),))
    network = load_network(model, Path("nowhere"), threads=1).network
    assert isinstance(network, Scrfd)
    return network


def detect(*seen: Seen, picture: Pixels = SQUARE) -> list[DetectedFace]:
    return load(scrfd_graph(seen)).detect(picture)


def box(left: float, top: float, width: float, height: float) -> tuple[float, float, float, float]:
    return left, top, width, height


def boxes(faces: Sequence[DetectedFace]) -> list[tuple[float, float, float, float]]:
    return [face.box for face in faces]


def test_a_face_lies_around_the_corner_of_its_cell() -> None:
    points = (-0.5, -1, 0.5, -1, 0, 0, -0.5, 1, 0.5, 1.5)

    (face,) = detect(Seen(16, column=10, row=20, score=0.75, distances=(1, 2, 3, 4), points=points))

    # The cell (10, 20) of stride 16 begins at (160, 320). Left edge 160 - 1*16, top 320 - 2*16,
    # right 160 + 3*16, bottom 320 + 4*16: from (144, 288) to (208, 384).
    assert face.box == box(144, 288, 208 - 144, 384 - 288)
    assert face.confidence == 0.75
    # Left eye 160 - 0.5*16, 320 - 1*16, and so on.
    assert face.landmarks.tolist() == [[152, 304], [168, 304], [160, 320], [152, 336], [168, 344]]


@pytest.mark.parametrize("stride", STRIDES)
def test_distances_are_in_strides(stride: int) -> None:
    (face,) = detect(Seen(stride, column=5, row=7, distances=(1, 1, 2, 3)))

    assert face.box == box(4 * stride, 6 * stride, 3 * stride, 4 * stride)


def test_cells_go_along_rows_and_each_has_two_anchors() -> None:
    # In the first row of stride 8 (80 cells, 160 anchors) anchor 3 is the second of cell 1, anchor 160 begins row 1.
    first, second = detect(
        Seen(8, column=1, row=0, anchor=1, score=0.9, distances=(0.5, 0, 0.5, 1)),
        Seen(8, column=0, row=1, anchor=0, score=0.8, distances=(0, 0, 1, 1)),
    )

    assert first.box == box(4, 0, 8, 8)
    assert second.box == box(0, 8, 8, 8)


def test_two_anchors_of_one_cell_may_see_two_faces() -> None:
    left, right = detect(
        Seen(8, column=40, row=40, anchor=0, score=0.9, distances=(4, 2, 0, 2)),
        Seen(8, column=40, row=40, anchor=1, score=0.8, distances=(0, 2, 4, 2)),
    )

    assert left.box == box(320 - 32, 320 - 16, 32, 32)
    assert right.box == box(320, 320 - 16, 32, 32)


@pytest.mark.parametrize("stride", STRIDES)
def test_the_last_cell_is_in_the_lower_right_corner(stride: int) -> None:
    last = 640 // stride - 1

    (face,) = detect(Seen(stride, column=last, row=last, anchor=1, distances=(0, 0, 2, 3)))

    assert face.box == box(640 - stride, 640 - stride, 2 * stride, 3 * stride)  # not clipped here


def test_a_face_may_begin_before_the_first_cell() -> None:
    (face,) = detect(Seen(32, column=0, row=0, distances=(1, 0.5, 2, 2)))

    assert face.box == box(-32, -16, 96, 80)


# Two boxes of 80 x 80, the second d pixels to the right: they share 80 * (80 - d) of 80 * (80 + d) pixels.
@pytest.mark.parametrize(("distance", "stays"), [(32, False), (40, True)])  # 48/112 = 0.43, 40/120 = 0.33
def test_a_face_that_overlaps_a_surer_one_by_more_than_two_fifths_goes(distance: int, stays: bool) -> None:
    found = detect(
        Seen(8, column=20, row=20, score=0.8, distances=(5, 5, 5, 5)),
        Seen(8, column=20 + distance // 8, row=20, score=0.9, distances=(5, 5, 5, 5)),
    )

    assert [face.confidence for face in found] == pytest.approx([0.9, 0.8] if stays else [0.9])


def test_faces_of_different_strides_suppress_each_other_too() -> None:
    found = detect(
        Seen(8, column=20, row=20, score=0.7, distances=(4, 4, 4, 4)),
        Seen(32, column=5, row=5, score=0.9, distances=(1, 1, 1, 1)),  # the same box, from 128 to 192
    )

    assert boxes(found) == [(128, 128, 64, 64)]
    assert found[0].confidence == pytest.approx(0.9)


@pytest.mark.parametrize(("score", "count"), [(0.49, 0), (0.5, 1)])
def test_the_least_confidence_is_a_half(score: float, count: int) -> None:
    assert len(detect(Seen(16, column=3, row=3, score=score))) == count


def test_a_large_picture_is_shrunk_and_its_faces_grow_back() -> None:
    # 1280 x 960 fits at one half, at the top left; what the graph sees at 160 lies at 320 in the picture.
    (face,) = detect(
        Seen(16, column=10, row=20, distances=(1, 1, 1, 2), points=(1, 2) * 5),
        picture=np.zeros((960, 1280, 3), np.uint8),
    )

    assert face.box == box(2 * (160 - 16), 2 * (320 - 16), 2 * 32, 2 * 48)
    assert face.landmarks.tolist() == [[2 * (160 + 16), 2 * (320 + 32)]] * 5


def test_a_small_picture_is_enlarged_and_its_faces_shrink_back() -> None:
    (face,) = detect(Seen(8, column=16, row=8, distances=(2, 2, 2, 2)), picture=np.zeros((160, 80, 3), np.uint8))

    assert face.box == box((128 - 16) / 4, (64 - 16) / 4, 8, 8)


@pytest.mark.parametrize(("channel", "colour"), [(0, 230), (1, 200), (2, 250)])
def test_the_graph_gets_red_green_blue_less_127_5_over_128_at_the_top_left(channel: int, colour: int) -> None:
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[0:8, 0:8] = (230, 200, 250)
    network = load(scrfd_graph([Seen(8, 0, 0, score=1.0)], lit_by=(channel, 2, 3)))

    (face,) = network.detect(picture)

    assert face.confidence == pytest.approx((colour - 127.5) / 128, abs=1e-6)


def test_what_the_picture_leaves_free_is_black() -> None:
    network = load(scrfd_graph([Seen(8, 0, 0, score=-0.9)], lit_by=(0, 320, 639)))

    (face,) = network.detect(np.full((480, 640, 3), 255, np.uint8))

    assert face.confidence == pytest.approx(-0.9 * (0 - 127.5) / 128, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_outputs_are_known_by_their_shapes_whatever_their_order(seed: int) -> None:
    seen = Seen(16, column=10, row=20, score=0.75, points=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
    (expected,) = detect(seen)
    order = Random(seed).sample(ORDER, len(ORDER))  # noqa: S311  # not for secrets

    (face,) = load(scrfd_graph([seen], order=order)).detect(SQUARE)

    assert (face.box, face.confidence) == (expected.box, expected.confidence)
    np.testing.assert_array_equal(face.landmarks, expected.landmarks)


def test_outputs_may_have_an_axis_for_the_batch() -> None:
    seen = Seen(32, column=3, row=4)

    assert boxes(load(scrfd_graph([seen], batched=True)).detect(SQUARE)) == boxes(detect(seen))


def test_the_side_of_the_input_is_that_of_the_graph() -> None:
    network = load(scrfd_graph([Seen(8, column=39, row=1, distances=(1, 1, 1, 1))], side=320))

    assert network.long_side == 320
    assert boxes(network.detect(SQUARE)) == [(2 * (312 - 8), 0, 32, 32)]


def test_a_graph_that_takes_any_size_gets_640() -> None:
    network = load(scrfd_graph([Seen(8, column=79, row=0)], shape=[1, 3, "height", "width"]))

    assert network.long_side == 640
    assert boxes(network.detect(SQUARE)) == [(632 - 8, 0 - 16, 8 + 24, 16 + 32)]


def test_a_graph_with_a_free_batch_is_taken() -> None:
    assert load(scrfd_graph(shape=["batch", 3, 640, 640])).detect(SQUARE) == []


@pytest.mark.parametrize(
    "graph",
    [
        scrfd_graph(order=ORDER[:6]),  # without landmarks
        scrfd_graph(order=[*ORDER, ("score", 8)]),  # one too many
        scrfd_graph(order=[*ORDER[:8], ("score", 8)]),  # two scores of stride 8, no landmarks of 32
        scrfd_graph(side=320, shape=[1, 3, "height", "width"]),  # for an input of another size than it is given
    ],
    ids=["no landmarks", "ten outputs", "one output twice", "another size"],
)
def test_a_graph_of_other_outputs_can_not_start(graph: bytes) -> None:
    with pytest.raises(CannotStart, match=r"^model scrfd: SCRFD has scores, boxes and landmarks of 12800, 3200, 800 "):
        load(graph)


@pytest.mark.parametrize("shape", [[1, 3, 640, 480], [1, 1, 640, 640], [1, 3, 600, 600], [4, 3, 640, 640], [1, 3, 640]])
def test_a_graph_of_another_input_can_not_start(shape: list[int | str]) -> None:
    graph = Graph()
    graph.node("Identity", ["input.1"], "output")

    with pytest.raises(CannotStart, match="model scrfd: its input is no square picture with a side that 32 divides"):
        load(graph.serialised({"input.1": shape}, {"output": shape}))


def test_numbers_that_are_none_are_no_face() -> None:
    assert detect(Seen(8, column=1, row=1, score=float("nan"))) == []


def test_the_licence_of_the_weights_is_not_for_commercial_use() -> None:
    assert not BUFFALO_L_DETECTOR.licence.commercial_use
    assert BUFFALO_L_DETECTOR.threshold == 0.5
