"""Faces in pixels of the full-size picture: geometry, numbering, crops."""

import io
from collections.abc import Callable, Hashable, Sequence

import numpy as np
import pytest
from PIL import Image

from media_inference.media.picture import Picture
from media_inference.models.kinds import DetectedFace, Pixels, SmallCopy
from media_inference.tasks.faces import MOST_FACES, Made, crop_faces, find_faces


class Shown:
    """A media item of 400 × 200 pixels that was decoded at half of its size."""

    def __init__(self) -> None:
        self.asked: list[int | None] = []
        self.asked_once: Hashable = None
        self.full = np.arange(200 * 400 * 3, dtype=np.uint32).astype(np.uint8).reshape(200, 400, 3)

    def picture(self, *, short_side: int | None = None, long_side: int | None = None) -> Picture:
        self.asked.append(long_side)
        pixels = self.full if short_side is long_side is None else self.full[::2, ::2]
        return Picture(pixels=pixels, full_width=400, full_height=200)

    def once(self, what: Hashable, make: Callable[[], Made]) -> Made:
        self.asked_once = what
        return make()


class Detector:
    """Finds what the test says."""

    name = "told"
    long_side = 100
    small_copy: SmallCopy | None = None

    def __init__(self, faces: Sequence[DetectedFace]) -> None:
        self.faces = list(faces)

    def detect(self, picture: Pixels) -> list[DetectedFace]:
        assert picture.shape[2] == 3
        return self.faces


def face(x: float, y: float, width: float, height: float, confidence: float = 0.9) -> DetectedFace:
    return DetectedFace((x, y, width, height), np.full((5, 2), (x, y), np.float32), confidence)


def find(*faces: DetectedFace) -> tuple[Shown, list[tuple[float, float, float, float]]]:
    shown = Shown()
    found = find_faces(shown, Detector(faces))
    assert (found.width, found.height) == (400, 200)
    return shown, [one.box for one in found.faces]


def test_boxes_and_landmarks_are_in_pixels_of_the_full_size() -> None:
    found = find_faces(Shown(), Detector([face(10, 20, 30, 40)])).faces[0]
    assert found.box == pytest.approx((20, 40, 80, 120))
    assert found.landmarks.tolist() == [[20, 40]] * 5
    assert found.describe() == {
        "face_index": 0,
        "bbox": {"x": 20.0, "y": 40.0, "width": 60.0, "height": 80.0},
        "confidence": 0.9,
    }
    assert list(found.describe_landmarks()) == ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"]


def test_boxes_are_clipped_to_the_picture_and_those_outside_are_dropped() -> None:
    _, boxes = find(face(-10, -10, 20, 20), face(190, 90, 50, 50, 0.8), face(300, 10, 20, 20, 0.7))
    assert boxes == [(0, 0, 20, 20), (380, 180, 400, 200)]


def test_faces_are_numbered_by_falling_confidence_then_from_left_to_right() -> None:
    _, boxes = find(face(50, 0, 10, 10, 0.7), face(30, 0, 10, 10, 0.9), face(10, 0, 10, 10, 0.7))
    assert [box[0] for box in boxes] == [60, 20, 100]


def test_no_more_faces_are_kept_than_point_ids_have_room_for() -> None:
    _, boxes = find(*(face(0, 0, 10, 10) for _ in range(MOST_FACES + 5)))
    assert len(boxes) == MOST_FACES


def test_a_picture_without_faces_is_never_decoded_in_full() -> None:
    shown = Shown()
    assert crop_faces(shown, find_faces(shown, Detector([]))) == []
    assert shown.asked == [100]


@pytest.mark.parametrize("box", [(10, 20, 30, 40), (0, 0, 200, 100), (199.9, 99.9, 0.05, 0.05)])
def test_a_crop_is_the_box_with_a_margin_from_the_full_picture(box: tuple[float, float, float, float]) -> None:
    shown = Shown()
    faces = find_faces(shown, Detector([face(*box)]))
    ((found,), (jpeg,)) = faces.faces, crop_faces(shown, faces)
    crop = np.asarray(Image.open(io.BytesIO(jpeg)))
    left, top, right, bottom = found.box
    margin = 0.25 * max(right - left, bottom - top)
    rows, columns = crop.shape[:2]
    assert rows > 0
    assert columns > 0
    assert columns == pytest.approx(min(right + margin, 400) - max(left - margin, 0), abs=2)
    assert rows == pytest.approx(min(bottom + margin, 200) - max(top - margin, 0), abs=2)
    start = (max(0, int(top - margin)), max(0, int(left - margin)))
    assert np.abs(crop[0, 0].astype(int) - shown.full[start]).max() < 40  # a JPEG keeps about what was there
