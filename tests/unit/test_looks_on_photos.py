"""YuNet with its second look and with tiles, on real photos: close-ups, crowds of tiny faces, and no face at all."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media_inference.models.alignment import residual
from media_inference.models.kinds import Pixels
from media_inference.models.looks import Looks
from media_inference.models.yunet import YuNet
from tests.stands.faces_seen import Box, corners, shared_part
from tests.stands.model_files import load_yunet
from tests.stands.pictures import picture

# Parts of photos (left, top, right, bottom) that a face fills, or more than fills: upright, square, lying.
CLOSE_UPS = [
    ("obama_1.jpg", (392, 172, 590, 369)),
    ("obama_1.jpg", (417, 172, 565, 369)),
    ("obama_1.jpg", (381, 188, 601, 353)),
    ("obama_2.jpg", (256, 340, 422, 562)),
    ("obama_2.jpg", (260, 320, 418, 582)),
    ("biden_1.jpg", (411, 276, 729, 515)),
    ("biden_1.jpg", (460, 286, 679, 505)),
    ("astronaut.png", (188, 88, 260, 160)),
    ("astronaut.png", (196, 96, 252, 151)),
    ("astronaut.png", (197, 88, 251, 160)),
    ("obama_and_biden.jpg", (233, 89, 390, 187)),
    ("obama_and_biden.jpg", (827, 104, 895, 217)),
]
WITH_FACES = ["astronaut.png", "biden_1.jpg", "obama_1.jpg", "obama_1_240p.jpg", "obama_2.jpg", "obama_and_biden.jpg"]
WITHOUT_FACES = ["cat.png", "coffee.png", "rocket.jpg"]


@pytest.fixture(scope="module")
def yunet(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> YuNet:
    return load_yunet(tmp_path_factory.mktemp("models"), shared)


def scaled(pixels: Pixels, factor: float) -> Pixels:
    size = (max(1, round(factor * pixels.shape[1])), max(1, round(factor * pixels.shape[0])))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


@pytest.mark.parametrize("factor", [1, 4])
@pytest.mark.parametrize(("photo", "part"), CLOSE_UPS)
def test_a_face_that_fills_the_frame_is_found_by_the_second_look(
    yunet: YuNet, shared: Path, photo: str, part: tuple[int, int, int, int], factor: int
) -> None:
    left, top, right, bottom = part
    whole = picture(shared / "photos" / photo)
    (true,) = (
        face
        for face in yunet.detect(whole)
        if left < face.landmarks[2, 0] < right and top < face.landmarks[2, 1] < bottom
    )
    pixels = scaled(whole[top:bottom, left:right], factor)
    assert yunet.detect(pixels) == []

    (face,) = Looks(yunet).detect(pixels)

    assert face.confidence > 0.85
    apart = np.linalg.norm(face.landmarks / factor + (left, top) - true.landmarks, axis=1)
    assert apart.max() < 0.15 * true.box[2]
    assert residual(face.landmarks) < 6


@pytest.mark.parametrize("tiles", [False, True], ids=["two looks", "tiles"])
@pytest.mark.parametrize("photo", WITH_FACES)
def test_a_face_that_the_first_look_sees_well_stays_as_it_is(
    yunet: YuNet, shared: Path, photo: str, tiles: bool
) -> None:
    pixels = picture(shared / "photos" / photo)

    faces, alone = Looks(yunet, tiles=tiles).detect(pixels), yunet.detect(pixels)

    for face, other in zip(faces, alone, strict=True):
        assert face.box == pytest.approx(other.box, abs=0.01)
        assert face.confidence == pytest.approx(other.confidence, abs=1e-4)
        np.testing.assert_allclose(face.landmarks, other.landmarks, atol=0.01)


@pytest.mark.parametrize("factor", [0.1, 0.25, 0.5, 1, 2, 4])
@pytest.mark.parametrize("photo", WITHOUT_FACES)
def test_no_look_sees_a_face_where_none_is(yunet: YuNet, shared: Path, photo: str, factor: float) -> None:
    pixels = scaled(picture(shared / "photos" / photo), factor)

    assert Looks(yunet, tiles=True).detect(pixels) == []


@pytest.mark.parametrize("photo", WITHOUT_FACES)
def test_close_ups_of_other_things_are_no_faces_to_the_second_look(yunet: YuNet, shared: Path, photo: str) -> None:
    pixels = picture(shared / "photos" / photo)
    looks, random = Looks(yunet), np.random.default_rng(1)
    for share in random.uniform(0.15, 0.9, 24):
        height, width = int(share * pixels.shape[0]), int(share * pixels.shape[1])
        top, left = random.integers(0, pixels.shape[0] - height), random.integers(0, pixels.shape[1] - width)

        assert looks.detect(np.ascontiguousarray(pixels[top : top + height, left : left + width])) == []


def test_a_cut_that_looks_like_a_face_when_it_is_small_is_none(yunet: YuNet, shared: Path) -> None:
    """Measured: 0.61 in the smaller copy, nothing in the first look."""
    cup = np.ascontiguousarray(picture(shared / "photos" / "coffee.png")[173:397, 43:276])

    assert Looks(yunet).detect(cup) == []


@pytest.fixture(scope="module")
def crowd(yunet: YuNet, shared: Path) -> tuple[Pixels, list[Box]]:
    """24 megapixels with 35 faces of 72 pixels' height on a table, and where they are."""
    canvas = scaled(picture(shared / "photos" / "coffee.png"), 10).copy()
    faces = [cut_face(yunet, picture(shared / "photos" / photo)) for photo in WITH_FACES]
    places: list[Box] = []
    for number in range(35):
        pixels, box = faces[number % len(faces)]
        left, top = 60 + 830 * (number % 7) + 37 * (number // 7), 60 + 780 * (number // 7) + 41 * (number % 7)
        canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        places.append((left + box[0], top + box[1], left + box[2], top + box[3]))
    return canvas, places


def cut_face(yunet: YuNet, pixels: Pixels) -> tuple[Pixels, Box]:
    """The surest face with some of its photo around it, so small that its box is 72 pixels high, and that box."""
    left, top, right, bottom = corners(yunet.detect(pixels)[0])
    margin, factor = (bottom - top) / 2, 72 / (bottom - top)
    x, y = max(0, int(left - margin)), max(0, int(top - margin))
    part = scaled(pixels[y : int(bottom + margin), x : int(right + margin)], factor)
    return part, (factor * (left - x), factor * (top - y), factor * (right - x), factor * (bottom - y))


def test_tiny_faces_in_a_photo_of_24_megapixels_are_found_by_tiles(
    yunet: YuNet, crowd: tuple[Pixels, list[Box]]
) -> None:
    pixels, places = crowd
    assert pixels.shape == (4000, 6000, 3)
    assert Looks(yunet).detect(pixels) == []

    faces = Looks(yunet, tiles=True).detect(pixels)

    assert len(faces) == len(places)
    for place in places:
        assert max(shared_part(corners(face), place) for face in faces) > 0.6
