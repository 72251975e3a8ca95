"""Faces onto the ArcFace template."""

import numpy as np
import pytest

from media_inference.errors import PermanentError
from media_inference.models.alignment import SIDE, TEMPLATE, align, residual
from tests.stands.pictures import noise


def turned(scale: float, degrees: float, x: float, y: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """The template, scaled, turned and moved."""
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(scale * TEMPLATE @ rotation.T + [x, y], np.float32)


def test_a_face_that_lies_on_the_template_is_copied() -> None:
    pixels = noise(SIDE, SIDE)

    np.testing.assert_array_equal(align(pixels, TEMPLATE.astype(np.float32)), pixels)


def test_a_moved_face_is_moved_back_exactly() -> None:
    pixels = noise(300, 400)

    face = align(pixels, turned(1, 0, 100, 50))

    assert np.abs(face.astype(int) - pixels[50:162, 100:212]).max() <= 1


def test_a_face_on_its_side_is_turned_upright() -> None:
    pixels = noise(SIDE, SIDE)
    sideways = np.rot90(pixels, 1)  # counter-clockwise: (x, y) goes to (y, 111 - x)
    landmarks = np.stack([TEMPLATE[:, 1], SIDE - 1 - TEMPLATE[:, 0]], axis=1).astype(np.float32)

    assert np.abs(align(sideways, landmarks).astype(int) - pixels).max() <= 1


@pytest.mark.parametrize(("scale", "degrees"), [(0.3, 0), (5, 20), (1, -90), (2, 179)])
def test_the_residual_does_not_depend_on_size_place_and_turn(scale: float, degrees: float) -> None:
    assert residual(turned(scale, degrees, 500, 300)) < 1e-3


def test_a_mirrored_face_is_not_mirrored_back() -> None:
    mirrored = (TEMPLATE * [-1, 1]).astype(np.float32)

    assert residual(mirrored) > 10


def test_swapped_eyes_show_in_the_residual() -> None:
    assert residual(TEMPLATE[[1, 0, 2, 3, 4]].astype(np.float32)) > 10


def test_landmarks_in_one_point_give_the_pixels_around_it() -> None:
    pixels = noise(300, 400)

    face = align(pixels, np.full((5, 2), 150, np.float32))

    middle = np.rint(150 - TEMPLATE.mean(axis=0)).astype(int)
    assert face.shape == (SIDE, SIDE, 3)
    near = pixels[middle[1] - 1 : middle[1] + SIDE + 1, middle[0] - 1 : middle[0] + SIDE + 1]
    assert abs(float(face.mean()) - float(near.mean())) < 2


def test_what_lies_outside_the_picture_is_black() -> None:
    white = np.full((50, 50, 3), 255, np.uint8)

    face = align(white, TEMPLATE.astype(np.float32))

    assert face[:49, :49].min() == 255
    assert face[51:, :].max() == 0


def test_a_face_far_outside_the_picture_is_black_and_no_crash() -> None:
    assert align(noise(20, 20), turned(1, 0, 1e6, -1e6)).max() == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_landmarks_that_are_not_finite_are_refused(bad: float) -> None:
    landmarks = TEMPLATE.astype(np.float32)
    landmarks[2, 0] = bad

    with pytest.raises(PermanentError, match="unusable landmarks"):
        align(noise(20, 20), landmarks)
