"""Alignment against an independent Umeyama and OpenCV's warp, and against a picture averaged without shortcuts."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from media_inference.models.alignment import SIDE, TEMPLATE, align, residual, similarity
from media_inference.models.kinds import Pixels
from media_inference.models.pixels import resize
from media_inference.models.yunet import YuNet
from tests.stands.model_files import load_yunet
from tests.stands.pictures import around, enlarged, picture

pytestmark = pytest.mark.slow

Matrix = NDArray[np.float64]
Photo = tuple[Pixels, NDArray[np.float32]]

FACES = ["astronaut.png", "biden_1.jpg", "obama_1.jpg", "obama_1_240p.jpg", "obama_2.jpg", "obama_and_biden.jpg"]


@pytest.fixture(scope="module")
def yunet(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> YuNet:
    return load_yunet(tmp_path_factory.mktemp("models"), shared)


@pytest.fixture(scope="module")
def photos(shared: Path, yunet: YuNet) -> dict[str, Photo]:
    """The surest face of each photo, with what is around it, and its landmarks."""
    pictures = {name: picture(shared / "photos" / name) for name in FACES}
    return {name: around(pixels, yunet.detect(pixels)[0].landmarks, 1.5) for name, pixels in pictures.items()}


def umeyama(points: NDArray[np.float32]) -> Matrix:
    """[2, 3]: Umeyama 1991, equations 40 to 43, with a singular value decomposition, in its own words."""
    source, target = points.astype(np.float64), TEMPLATE
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    covariance = (target - target_mean).T @ (source - source_mean) / len(source)
    u, singular, vt = np.linalg.svd(covariance)
    mirror = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(mirror) @ vt
    scale = (singular * mirror).sum() / ((source - source_mean) ** 2).sum(axis=1).mean()
    return np.column_stack([scale * rotation, target_mean - scale * rotation @ source_mean])


def test_a_face_of_120_pixels_lies_within_three_pixels_of_the_template_in_most_places(
    yunet: YuNet, photos: dict[str, Photo], shared: Path
) -> None:
    """The residual of one face goes from 2 to 3 and more with its place on the network's grid of 32 pixels.

    Measured in 16 places, at most 3 in: astronaut 8, biden_1 16, obama_1 12, obama_1_240p 15, obama_2 15,
    obama_and_biden 14 or 16. A single place proves nothing; at a height of 140 pixels it is seven to sixteen.
    """
    near = {}
    for name, (pixels, _) in photos.items():
        height = yunet.detect(picture(shared / "photos" / name))[0].box[3]
        small = resize(pixels, *(round(120 / height * side) for side in pixels.shape[1::-1]))
        found = [_seen_at(yunet, small, (8 * right, 8 * down)) for right in range(4) for down in range(4)]
        near[name] = sum(residual(face) <= 3 for face in found)
        assert min(residual(face[[1, 0, 2, 3, 4]]) for face in found) > 10, name

    assert min(near.values()) >= 7, near
    assert sum(near.values()) >= 75, near


def _seen_at(yunet: YuNet, pixels: Pixels, place: tuple[int, int]) -> NDArray[np.float32]:
    """The landmarks of the surest face of a picture that lies at (x, y) on the canvas."""
    canvas = np.zeros((640, 640, 3), np.uint8)
    canvas[place[1] : place[1] + pixels.shape[0], place[0] : place[0] + pixels.shape[1]] = pixels
    return yunet.detect(canvas)[0].landmarks


@pytest.mark.parametrize("name", FACES)
def test_the_similarity_is_that_of_umeyama(photos: dict[str, Photo], name: str) -> None:
    turn, move = similarity(photos[name][1])

    expected = umeyama(photos[name][1])

    ours = [[turn.real, -turn.imag, move.real], [turn.imag, turn.real, move.imag]]
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["astronaut.png", "obama_1_240p.jpg", "obama_and_biden.jpg"])
def test_a_face_that_is_not_halved_is_warped_as_opencv_does(photos: dict[str, Photo], name: str) -> None:
    pixels, landmarks = photos[name]
    assert abs(similarity(landmarks)[0]) > 0.5

    expected = cv2.warpAffine(pixels, umeyama(landmarks), (SIDE, SIDE), flags=cv2.INTER_LINEAR)

    assert np.abs(align(pixels, landmarks).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("factor", [4, 8])
@pytest.mark.parametrize("name", FACES)
def test_a_large_face_is_the_mean_of_its_pixels(photos: dict[str, Photo], name: str, factor: int) -> None:
    """Against 16 x 16 samples per pixel of the template. With one sample each the difference is 8 to 14."""
    pixels, landmarks = enlarged(*photos[name], factor, noise=25)
    assert abs(similarity(landmarks)[0]) < 0.5
    fine = 16 * umeyama(landmarks)
    fine[:, 2] += 7.5  # the middle of the first of 16
    samples = cv2.warpAffine(pixels, fine, (16 * SIDE, 16 * SIDE), flags=cv2.INTER_LINEAR)
    expected = cv2.resize(samples, (SIDE, SIDE), interpolation=cv2.INTER_AREA)

    difference = np.abs(align(pixels, landmarks).astype(int) - expected)

    assert difference.mean() < 4


def test_lines_finer_than_the_template_become_grey() -> None:
    """Black and white pixels in turn, shrunk to a third: one sample each would give stripes of full contrast."""
    board = np.indices((336, 336)).sum(axis=0) % 2 * 255
    pixels = np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8)
    landmarks = (3 * TEMPLATE + 1).astype(np.float32)

    inside = align(pixels, landmarks)[2:-2, 2:-2].astype(int)

    assert np.abs(inside - 127.5).max() <= 255 / 9  # a 3 x 3 block holds four or five white pixels


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_shrinking_moves_nothing(factor: int) -> None:
    """A ramp made ``factor`` times as wide comes back as it was: no half pixel is lost."""
    ramp = np.repeat(np.arange(SIDE * factor)[None] // factor, SIDE * factor, axis=0).astype(np.uint8) * 2
    pixels = np.repeat(ramp[:, :, None], 3, axis=2)
    landmarks = ((TEMPLATE + 0.5) * factor - 0.5).astype(np.float32)

    face = align(pixels, landmarks)

    assert np.abs(face[:, :, 0].astype(int) - 2 * np.arange(SIDE)).max() <= 1


def test_a_large_face_at_the_edge_of_the_picture_is_black_beyond_it() -> None:
    pixels = np.full((400, 400, 3), 255, np.uint8)

    face = align(pixels, (4 * TEMPLATE - 200).astype(np.float32))  # the picture begins at (50, 50) of the template

    assert face[52:, 52:].min() == 255
    assert face[:49].max() == 0
    assert face[:, :49].max() == 0
