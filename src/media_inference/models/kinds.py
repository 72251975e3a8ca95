"""The kinds of model and what a task may ask of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""[height, width, 3] uint8, RGB, upright."""

Extent = tuple[float, float]
"""How many pixels a picture is wide and high, where its last ones lie in it with a part of them."""

Vectors = NDArray[np.float32]
"""[N, 512] float32, each row of unit length."""

DIMENSION = 512


class Kind(StrEnum):
    """What a model does."""

    IMAGE_EMBEDDER = "image_embedder"
    FACE_DETECTOR = "face_detector"
    FACE_EMBEDDER = "face_embedder"
    TEXT_EMBEDDER = "text_embedder"


TASK_KINDS = (Kind.IMAGE_EMBEDDER, Kind.FACE_DETECTOR, Kind.FACE_EMBEDDER)
"""What tasks need: a service has one model of each. The text tower follows from the image model, and may be missing."""


@dataclass(frozen=True, slots=True)
class DetectedFace:
    """A face in pixels of the picture that the detector was given.

    ``box`` is (x, y, width, height); ``landmarks`` is [5, 2] float32: left eye, right eye, nose, left and right corner
    of the mouth, left and right as the viewer sees them.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    confidence: float


@dataclass(frozen=True, slots=True)
class SmallCopy:
    """A smaller copy of a picture, with this longer ``side`` in pixels, to look for large faces in.

    They count from ``confidence`` on, more than elsewhere: cut down to so few pixels, many things look like a face.
    """

    side: int
    confidence: float


class ImageEmbedder(Protocol):
    """A whole picture to one vector."""

    name: str
    short_side: int
    """Pictures are wanted with at least this shorter side, in pixels; more adds nothing."""

    def embed(self, pictures: Sequence[Pixels], extents: Sequence[Extent] | None = None) -> Vectors:
        """One unit vector per picture; without ``extents`` all of their pixels lie in them."""
        ...


class FaceDetector(Protocol):
    """A picture to its faces."""

    name: str
    long_side: int
    """Pictures are wanted with at least this longer side, in pixels; more adds nothing."""
    small_copy: SmallCopy | None
    """The second look that it wants, for faces that fill the frame; None where it finds them in the first."""

    def detect(self, picture: Pixels) -> list[DetectedFace]:
        """The faces, best first, boxes not yet clipped to the picture."""
        ...


class FaceEmbedder(Protocol):
    """Aligned faces to one vector each."""

    name: str

    def embed(self, faces: Sequence[Pixels]) -> Vectors:
        """One unit vector per face; each face is [112, 112, 3], aligned by `models.alignment.align`."""
        ...


class TextEmbedder(Protocol):
    """The tokens of a text to one vector, in the space of an image model: a text tower."""

    name: str
    longest: int
    """Most tokens of a text, the start and the end among them."""

    def embed(self, tokens: Sequence[int]) -> Vectors:
        """[1, 512]: the unit vector of a text."""
        ...
