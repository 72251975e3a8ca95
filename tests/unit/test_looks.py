"""Where the looks at a picture lie, what they cost, and that each thing is found once: with bright squares as faces."""

from itertools import pairwise

import numpy as np
import pytest

from media_inference.models.kinds import Pixels, SmallCopy
from media_inference.models.looks import Looks
from media_inference.models.tiles import Tile, grid
from tests.stands.square_detector import SquareDetector

Box = tuple[float, float, float, float]


def with_squares(height: int, width: int, *squares: tuple[int, int, int]) -> Pixels:
    """A black picture with white squares (left, top, side)."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for left, top, side in squares:
        pixels[top : top + side, left : left + side] = 255
    return pixels


def boxes(pixels: Pixels, *, tiles: bool) -> list[Box]:
    return sorted(face.box for face in Looks(SquareDetector(), tiles=tiles).detect(pixels))


@pytest.mark.parametrize(
    ("height", "width"),
    [(960, 1280), (1280, 960), (600, 900), (900, 1600), (1000, 1000), (1000, 1250), (500, 400), (160, 213)],
)
def test_what_is_too_large_for_the_first_look_is_found_in_the_smaller_copy(height: int, width: int) -> None:
    side = int(0.55 * max(height, width))  # 352 pixels of 640
    left, top = (width - side) // 3, (height - side) // 2

    (found,) = Looks(SquareDetector()).detect(with_squares(height, width, (left, top, side)))

    pixel = max(height, width) / 160
    assert found.box == pytest.approx((left, top, side, side), abs=2 * pixel)
    np.testing.assert_allclose(found.landmarks, [(left, top)] * 5, atol=2 * pixel)


@pytest.mark.parametrize(
    ("height", "width", "runs"),
    [(3000, 4000, 1), (4000, 3000, 1), (2000, 3000, 1), (1080, 1920, 1), (1000, 1000, 2), (1000, 1250, 2)],
)
def test_the_smaller_copy_costs_no_run_where_there_is_room_beside_the_picture(
    height: int, width: int, runs: int
) -> None:
    detector = SquareDetector()

    Looks(detector).detect(with_squares(height, width))

    assert detector.runs == runs


@pytest.mark.parametrize(("height", "width"), [(960, 1280), (1280, 960), (1000, 1000)])
def test_what_both_looks_see_is_found_once_as_the_first_look_sees_it(height: int, width: int) -> None:
    pixels = with_squares(height, width, (300, 400, 320))

    assert boxes(pixels, tiles=False) == [pytest.approx(face.box, abs=1e-3) for face in SquareDetector().detect(pixels)]


@pytest.mark.parametrize(("height", "width"), [(960, 1280), (1280, 960)])
def test_small_things_in_the_smaller_copy_are_left_to_the_first_look(height: int, width: int) -> None:
    """80 of 1280 pixels are 10 in the smaller copy, which the detector would see there too."""
    assert boxes(with_squares(height, width, (100, 200, 80), (700, 800, 80)), tiles=False) == [
        pytest.approx((100, 200, 80, 80), abs=4),
        pytest.approx((700, 800, 80, 80), abs=4),
    ]


@pytest.mark.parametrize(("side", "count"), [(80, 0), (240, 1)])
def test_what_only_the_smaller_copy_takes_for_a_face_must_be_large(side: int, count: int) -> None:
    """Squares of 8 pixels, 2 apart, are too small for the first look; in the copy they flow into one of 20 or 60."""
    dots = [(200 + x, 100 + y, 8) for x in range(0, side, 10) for y in range(0, side, 10)]
    pixels = with_squares(480, 640, *dots)
    assert SquareDetector().detect(pixels) == []

    assert len(boxes(pixels, tiles=False)) == count


@pytest.mark.parametrize(("confidence", "count"), [(0.99, 1), (0.992, 0)])
def test_what_only_the_smaller_copy_sees_must_be_surer(confidence: float, count: int) -> None:
    """A square of 88 pixels in the copy has a confidence of 1 - 88 / 10000."""
    pixels = with_squares(960, 1280, (200, 100, 704))

    assert len(Looks(SquareDetector(SmallCopy(160, confidence))).detect(pixels)) == count


@pytest.mark.parametrize(("height", "width"), [(960, 1280), (1280, 960)])
def test_what_is_cut_by_the_edge_of_the_picture_is_not_taken_for_the_copy(height: int, width: int) -> None:
    found = boxes(with_squares(height, width, (width - 100, height - 100, 100)), tiles=False)

    assert found == [pytest.approx((width - 100, height - 100, 100, 100), abs=4)]


def test_a_detector_that_wants_no_copy_gets_the_picture_and_nothing_else() -> None:
    detector = SquareDetector(small_copy=None)
    pixels = with_squares(960, 1280, (100, 100, 200))

    (found,) = Looks(detector).detect(pixels)

    assert detector.runs == 1
    assert found.box == SquareDetector().detect(pixels)[0].box


def test_the_picture_is_wanted_as_fine_as_the_tiles_show_it() -> None:
    assert Looks(SquareDetector()).long_side == 640
    assert Looks(SquareDetector(), tiles=True).long_side == 2560


def test_a_tiny_thing_in_a_large_picture_is_found_by_tiles_alone() -> None:
    pixels = with_squares(3000, 4000, (3100, 1234, 24))  # 4 pixels in the first look, 15 in a tile

    assert boxes(pixels, tiles=False) == []
    assert boxes(pixels, tiles=True) == [pytest.approx((3100, 1234, 24, 24), abs=3)]


def test_things_across_the_edges_of_tiles_are_found_once_and_whole() -> None:
    """A row and a column of squares with a pitch that puts some of them on every edge, up to a tenth of a tile."""
    places = [(17 + 100 * step, 300 + 11 * step, 24 + step) for step in range(25)]
    places += [(1900 - 7 * step, 640 + 100 * step, 24 + step) for step in range(19)]

    found = boxes(with_squares(2560, 2560, *places), tiles=True)

    assert len(found) == len(places)
    for left, top, side in places:
        assert any(box == pytest.approx((left, top, side, side), abs=4) for box in found)


def test_what_a_tile_sees_large_is_left_to_the_first_look() -> None:
    """A piece of 160 pixels and more in a tile can be a piece of anything."""
    pixels = with_squares(2000, 2560, (500, 300, 900))

    assert boxes(pixels, tiles=True) == boxes(pixels, tiles=False) == [pytest.approx((500, 300, 900, 900), abs=8)]


@pytest.mark.parametrize(
    ("height", "width", "runs"),
    [
        (1, 1, 2),
        (640, 640, 2),
        (641, 641, 2 + 4),
        (1, 20_000, 1 + 5),
        (20_000, 1, 1 + 5),
        (1707, 2560, 1 + 20),
        (2561, 2561, 2 + 25),
        (6000, 6000, 2 + 25),
    ],
)
def test_looks_are_bounded_whatever_the_size(height: int, width: int, runs: int) -> None:
    detector = SquareDetector()

    Looks(detector, tiles=True).detect(with_squares(height, width))

    assert detector.runs == runs


@pytest.mark.parametrize(("height", "width"), [(641, 641), (700, 2560), (2560, 641), (1707, 2560), (2000, 1152)])
def test_tiles_cover_the_picture_and_overlap_by_a_quarter(height: int, width: int) -> None:
    tiles = list(grid((height, width, 3), 640))

    for start, end, length in (("left", "right", width), ("top", "bottom", height)):
        spans = sorted({(getattr(tile, start), getattr(tile, end)) for tile in tiles})
        assert (spans[0][0], spans[-1][1]) == (0, length)
        assert all(before[1] - after[0] >= 160 for before, after in pairwise(spans))
        assert all(end - start == min(640, length) for start, end in spans)


def test_a_tile_trusts_an_edge_that_is_also_the_edge_of_the_picture() -> None:
    shape = (1000, 1000, 3)
    (face,) = SquareDetector().detect(with_squares(640, 640, (0, 300, 40)))

    assert Tile(0, 0, 640, 640).has_whole(face, shape)
    assert not Tile(360, 0, 1000, 640).has_whole(face, shape)


@pytest.mark.parametrize(("left", "whole"), [(9, False), (10, True), (590, True), (591, False)])
def test_a_face_keeps_a_quarter_of_its_size_away_from_a_cut(left: int, whole: bool) -> None:
    (face,) = SquareDetector().detect(with_squares(640, 640, (left, 300, 40)))

    assert Tile(480, 480, 1120, 1120).has_whole(face, (2000, 2000, 3)) is whole
