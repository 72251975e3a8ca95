"""Both face detectors on real photos."""

from pathlib import Path

import numpy as np
import pytest

from media_inference.models.alignment import residual
from media_inference.models.kinds import DetectedFace
from media_inference.models.mtcnn import MTCNN, Mtcnn
from media_inference.models.yunet import YuNet
from media_inference.runtime.load import load_network
from tests.stands.model_files import load_yunet
from tests.stands.pictures import noise, picture

Golden = tuple[float, tuple[int, int, int, int]]

# Measured with Pillow's bilinear fit to 640 x 640: score, then left, top, right, bottom.
GOLDEN: dict[str, list[Golden]] = {
    "obama_1.jpg": [(0.946, (371, 90, 611, 419))],
    "obama_2.jpg": [(0.951, (202, 229, 477, 634))],
    "biden_1.jpg": [(0.927, (428, 177, 714, 575))],
    "obama_and_biden.jpg": [(0.929, (241, 30, 384, 227)), (0.922, (787, 47, 936, 254))],
    "astronaut.png": [(0.944, (179, 63, 270, 174))],
}
WITH_FACES = [*GOLDEN, "obama_1_240p.jpg"]
WITHOUT_FACES = ["cat.png", "coffee.png", "rocket.jpg"]


@pytest.fixture(scope="module")
def yunet(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> YuNet:
    return load_yunet(tmp_path_factory.mktemp("models"), shared)


@pytest.fixture(scope="module")
def mtcnn() -> Mtcnn:
    network = load_network(MTCNN, Path("nowhere"), threads=1).network
    assert isinstance(network, Mtcnn)
    return network


def corners(face: DetectedFace) -> tuple[float, float, float, float]:
    x, y, width, height = face.box
    return x, y, x + width, y + height


def overlap(one: DetectedFace, other: DetectedFace) -> float:
    """Intersection over union."""
    a, b = corners(one), corners(other)
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared_area = max(0.0, width) * max(0.0, height)
    return shared_area / (one.box[2] * one.box[3] + other.box[2] * other.box[3] - shared_area)


@pytest.mark.parametrize("photo", GOLDEN)
def test_yunet_gives_the_golden_boxes_and_scores(yunet: YuNet, shared: Path, photo: str) -> None:
    faces = yunet.detect(picture(shared / "photos" / photo))

    assert len(faces) == len(GOLDEN[photo])
    for face, (score, box) in zip(faces, GOLDEN[photo], strict=True):
        assert face.confidence == pytest.approx(score, abs=0.005)  # RGB for BGR loses 0.02
        assert corners(face) == pytest.approx(box, abs=3)


def test_yunet_gives_the_golden_eyes(yunet: YuNet, shared: Path) -> None:
    (face,) = yunet.detect(picture(shared / "photos" / "astronaut.png"))

    np.testing.assert_allclose(face.landmarks[:2], [[201.5, 105.1], [245.3, 105.0]], atol=1)


@pytest.mark.parametrize("photo", WITHOUT_FACES)
def test_no_detector_sees_a_face_where_none_is(yunet: YuNet, mtcnn: Mtcnn, shared: Path, photo: str) -> None:
    pixels = picture(shared / "photos" / photo)

    assert yunet.detect(pixels) == []
    assert mtcnn.detect(pixels) == []


@pytest.mark.parametrize("photo", WITH_FACES)
def test_mtcnn_finds_the_faces_of_yunet_and_no_other(yunet: YuNet, mtcnn: Mtcnn, shared: Path, photo: str) -> None:
    pixels = picture(shared / "photos" / photo)
    by_place = [sorted(detector.detect(pixels), key=lambda face: face.box[0]) for detector in (yunet, mtcnn)]

    for expected, found in zip(*by_place, strict=True):
        assert overlap(expected, found) > 0.75
        apart = np.linalg.norm(expected.landmarks - found.landmarks, axis=1).max()
        assert apart < 0.12 * expected.box[2]


@pytest.mark.parametrize("photo", WITH_FACES)
def test_landmarks_lie_on_the_template_in_its_order(yunet: YuNet, mtcnn: Mtcnn, shared: Path, photo: str) -> None:
    pixels = picture(shared / "photos" / photo)

    for face in [*yunet.detect(pixels), *mtcnn.detect(pixels)]:
        assert residual(face.landmarks) < 5
        assert residual(face.landmarks[[1, 0, 2, 3, 4]]) > 10
        assert face.landmarks[0, 0] < face.landmarks[1, 0]


def test_faces_come_best_first(yunet: YuNet, mtcnn: Mtcnn, shared: Path) -> None:
    pixels = picture(shared / "photos" / "obama_and_biden.jpg")

    for detector in (yunet, mtcnn):
        confidences = [face.confidence for face in detector.detect(pixels)]
        assert confidences == sorted(confidences, reverse=True)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 1), (11, 12), (12, 12), (20, 33), (700, 900)])
def test_no_size_of_picture_makes_a_detector_fail(yunet: YuNet, mtcnn: Mtcnn, height: int, width: int) -> None:
    pixels = noise(height, width)

    assert yunet.detect(pixels) == []
    assert mtcnn.detect(pixels) == []


def test_a_face_that_fills_the_picture_is_found(yunet: YuNet, shared: Path) -> None:
    pixels = picture(shared / "photos" / "obama_1.jpg")[90:419, 371:611]

    assert len(yunet.detect(pixels)) == 1
