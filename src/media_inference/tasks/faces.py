"""The faces of a picture, in pixels of its upright full size: detected, numbered, cropped."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from media_inference.jobs.job import JsonObject
from media_inference.media.jpeg import encode_jpeg
from media_inference.media.picture import Picture
from media_inference.models.kinds import DetectedFace, FaceDetector, Pixels

MOST_FACES = 1000
CROP_MARGIN = 0.25
"""How far a crop reaches beyond the box on each side, as a part of the box's longer side."""

LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")


Made = TypeVar("Made")


class Seen(Protocol):
    """What shows its picture at the size that is asked for, and keeps what was made of it: a `Media`."""

    def picture(self, *, short_side: int | None = None, long_side: int | None = None) -> Picture:
        """As `Media.picture`."""
        ...

    def once(self, what: Hashable, make: Callable[[], Made]) -> Made:
        """As `Media.once`."""
        ...


@dataclass(frozen=True, slots=True)
class Face:
    """One face. ``box`` is (left, top, right, bottom), clipped to the picture; ``landmarks`` is [5, 2]."""

    index: int
    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    confidence: float

    def describe(self) -> JsonObject:
        """The part of a result that says where the face is."""
        left, top, right, bottom = (round(edge, 2) for edge in self.box)
        return {
            "face_index": self.index,
            "bbox": {"x": left, "y": top, "width": round(right - left, 2), "height": round(bottom - top, 2)},
            "confidence": round(self.confidence, 4),
        }

    def describe_landmarks(self) -> JsonObject:
        """The five landmarks by name, each [x, y]."""
        points = ([round(float(x), 2), round(float(y), 2)] for x, y in self.landmarks)
        return dict(zip(LANDMARKS, points, strict=True))


@dataclass(frozen=True, slots=True)
class FacesOfPicture:
    """The faces of a picture of ``width`` × ``height`` pixels."""

    width: int
    height: int
    faces: tuple[Face, ...]

    def describe_image(self) -> JsonObject:
        """The part of a result that says of what picture it speaks."""
        return {"width": self.width, "height": self.height}


def find_faces(media: Seen, detector: FaceDetector) -> FacesOfPicture:
    """Detects faces, numbered by falling confidence, then from left to right; at most `MOST_FACES`.

    Once for all jobs that share the item.
    """
    return media.once(("faces", detector.name), lambda: _find_faces(media, detector))


def _find_faces(media: Seen, detector: FaceDetector) -> FacesOfPicture:
    picture = media.picture(long_side=detector.long_side)
    detected = [_in_full_size(face, picture) for face in detector.detect(picture.pixels)]
    visible = [face for face in detected if face.box[2] > face.box[0] and face.box[3] > face.box[1]]
    visible.sort(key=lambda face: (-face.confidence, face.box[0]))
    faces = tuple(
        Face(index, face.box, face.landmarks, face.confidence) for index, face in enumerate(visible[:MOST_FACES])
    )
    return FacesOfPicture(picture.full_width, picture.full_height, faces)


def _in_full_size(face: DetectedFace, picture: Picture) -> DetectedFace:
    """The face in pixels of the full-size picture, with its box as clipped edges."""
    x, y, width, height = face.box
    edges = (
        min(max(x * picture.scale, 0.0), picture.full_width),
        min(max(y * picture.scale, 0.0), picture.full_height),
        min(max((x + width) * picture.scale, 0.0), picture.full_width),
        min(max((y + height) * picture.scale, 0.0), picture.full_height),
    )
    return DetectedFace(edges, face.landmarks * np.float32(picture.scale), face.confidence)


def crop_faces(media: Seen, found: FacesOfPicture) -> list[bytes]:
    """Each face with a margin as a JPEG, at the full resolution of the picture, which is decoded only for faces.

    Once for all jobs that share the item and what was found in it.
    """
    if not found.faces:
        return []
    return media.once(("crops", id(found)), lambda: _crop_faces(media.picture(), found))


def _crop_faces(picture: Picture, found: FacesOfPicture) -> list[bytes]:
    return [encode_jpeg(_crop(picture.pixels, face.box)) for face in found.faces]


def _crop(pixels: Pixels, box: tuple[float, float, float, float]) -> Pixels:
    left, top, right, bottom = box
    margin = CROP_MARGIN * max(right - left, bottom - top)
    rows = slice(max(0, int(top - margin)), int(np.ceil(bottom + margin)))
    columns = slice(max(0, int(left - margin)), int(np.ceil(right + margin)))
    return pixels[rows, columns]
