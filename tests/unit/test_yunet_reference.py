"""YuNet against OpenCV's own FaceDetectorYN, on the same file and the same photos."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from media_inference.models.alignment import residual
from media_inference.models.kinds import DetectedFace, Pixels
from media_inference.models.pixels import letterbox
from media_inference.models.yunet import YuNet
from tests.stands.faces_seen import corners, shared_part, yaw
from tests.stands.model_files import load_yunet
from tests.stands.pictures import picture

WITH_FACES = {
    "photos/astronaut.png": 1,
    "photos/biden_1.jpg": 1,
    "photos/obama_1.jpg": 1,
    "photos/obama_1_240p.jpg": 1,
    "photos/obama_2.jpg": 1,
    "photos/obama_and_biden.jpg": 2,
    "formats/face.webp": 1,
    "formats/face.avif": 1,
    "formats/face_exif6.jpg": 1,
}
WITHOUT_FACES = ["photos/cat.png", "photos/coffee.png", "photos/rocket.jpg"]
FITS_THE_INPUT = ["photos/astronaut.png", "formats/face.webp", "formats/face.avif", "formats/face_exif6.jpg"]

# Residuals of alignment measured on the faces with a yaw of at most 0.1, from left to right. At most 3 on five of nine;
# the others show a wide smile in a short face (mouth 0.86 to 0.93 of the distance of the eyes, 0.83 in the template).
RESIDUALS = {
    "photos/astronaut.png": [3.14],
    "photos/biden_1.jpg": [3.48],
    "photos/obama_1.jpg": [3.17],
    "photos/obama_1_240p.jpg": [2.04],
    "photos/obama_and_biden.jpg": [2.73, 2.45],
    "formats/face.webp": [2.55],
    "formats/face.avif": [3.08],
    "formats/face_exif6.jpg": [2.70],
}

Reference = Callable[[Pixels], list[DetectedFace]]


@pytest.fixture(scope="module")
def yunet(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> YuNet:
    return load_yunet(tmp_path_factory.mktemp("models"), shared)


@pytest.fixture(scope="module")
def opencv(shared: Path) -> Reference:
    """OpenCV's detector on a picture as it is, without any resizing; OpenCV pads to a multiple of 32."""
    file = str(shared / "models" / "face_detection_yunet_2023mar.onnx")

    def detect(pixels: Pixels) -> list[DetectedFace]:
        height, width = pixels.shape[:2]
        detector = cv2.FaceDetectorYN.create(file, "", (width, height), 0.6, 0.3, 5000)
        rows: object = detector.detect(np.ascontiguousarray(pixels[:, :, ::-1]))[1]
        found = [_face(row) for row in rows] if isinstance(rows, np.ndarray) else []
        return sorted(found, key=lambda face: -face.confidence)

    return detect


def _face(row: NDArray[np.float32]) -> DetectedFace:
    """OpenCV's 15 numbers: x, y, width, height, five points, score."""
    x, y, width, height = (float(value) for value in row[:4])
    return DetectedFace((x, y, width, height), row[4:14].reshape(5, 2), float(row[14]))


def assert_same_faces(found: Sequence[DetectedFace], reference: Sequence[DetectedFace], scale: float = 1) -> None:
    """Boxes and landmarks within 2 px, scores within 0.01; ``scale``: pixels of ``found`` per one of ``reference``."""
    for face, other in zip(found, reference, strict=True):
        assert face.box == pytest.approx(tuple(scale * value for value in other.box), abs=2)
        assert face.confidence == pytest.approx(other.confidence, abs=0.01)
        np.testing.assert_allclose(face.landmarks, scale * other.landmarks, atol=2)


@pytest.mark.parametrize("name", [*WITH_FACES, *WITHOUT_FACES])
def test_on_the_same_canvas_the_faces_are_those_of_opencv(
    yunet: YuNet, opencv: Reference, shared: Path, name: str
) -> None:
    canvas, _ = letterbox(picture(shared / name), 640, 640)

    reference = opencv(canvas)

    assert len(reference) == WITH_FACES.get(name, 0)
    assert_same_faces(yunet.detect(canvas), reference)


@pytest.mark.parametrize("name", WITH_FACES)
def test_a_photo_is_seen_as_opencv_sees_its_canvas(yunet: YuNet, opencv: Reference, shared: Path, name: str) -> None:
    pixels = picture(shared / name)
    canvas, back = letterbox(pixels, 640, 640)

    assert back[0] == pytest.approx(back[1], rel=2e-3)
    assert_same_faces(yunet.detect(pixels), opencv(canvas), scale=float(back[0]))


@pytest.mark.parametrize("name", FITS_THE_INPUT)
def test_at_its_own_size_a_small_photo_has_the_faces_of_opencv(
    yunet: YuNet, opencv: Reference, shared: Path, name: str
) -> None:
    pixels = picture(shared / name)
    canvas = np.zeros((640, 640, 3), np.uint8)
    canvas[: pixels.shape[0], : pixels.shape[1]] = pixels

    assert_same_faces(yunet.detect(canvas), opencv(pixels))


@pytest.mark.parametrize("name", [*WITH_FACES, *WITHOUT_FACES])
def test_opencv_finds_the_same_faces_when_it_gets_the_photo_at_its_own_size(
    yunet: YuNet, opencv: Reference, shared: Path, name: str
) -> None:
    """The network then sees other pixels, so boxes differ: by up to 16 px on a face of 290 x 400."""
    pixels = picture(shared / name)

    faces, reference = ([*detect(pixels)] for detect in (yunet.detect, opencv))

    assert len(faces) == len(reference)
    for face, other in zip(_from_left(faces), _from_left(reference), strict=True):
        assert shared_part(corners(face), corners(other)) > 0.85
        assert face.confidence == pytest.approx(other.confidence, abs=0.03)


def test_frontal_faces_lie_within_three_and_a_half_pixels_of_the_template(yunet: YuNet, shared: Path) -> None:
    found: dict[str, list[float]] = {}
    for name in WITH_FACES:
        faces = [face for face in _from_left(yunet.detect(picture(shared / name))) if abs(yaw(face.landmarks)) <= 0.1]
        if faces:
            found[name] = [residual(face.landmarks) for face in faces]

    assert list(found) == list(RESIDUALS)
    for name, residuals in found.items():
        assert residuals == pytest.approx(RESIDUALS[name], abs=0.15)
    every = [value for residuals in found.values() for value in residuals]
    assert max(every) <= 3.5
    assert np.mean(every) <= 3
    assert sum(value <= 3 for value in every) >= 5


@pytest.mark.parametrize("name", WITH_FACES)
def test_swapped_eyes_are_told_by_the_residual(yunet: YuNet, shared: Path, name: str) -> None:
    for face in yunet.detect(picture(shared / name)):
        assert residual(face.landmarks) < 4
        assert residual(face.landmarks[[1, 0, 2, 3, 4]]) > 15


def _from_left(faces: Sequence[DetectedFace]) -> list[DetectedFace]:
    return sorted(faces, key=lambda face: face.box[0])
