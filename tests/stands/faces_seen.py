"""Comparing faces: how much of two boxes is shared, and how a face is turned."""

import numpy as np
from numpy.typing import NDArray

from media_inference.models.kinds import DetectedFace

Box = tuple[float, float, float, float]


def corners(face: DetectedFace) -> Box:
    """Left, top, right, bottom."""
    x, y, width, height = face.box
    return x, y, x + width, y + height


def shared_part(one: Box, other: Box) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (one, other)]
    return shared / (sum(areas) - shared)


def yaw(landmarks: NDArray[np.float32]) -> float:
    """How far the nose is from the middle between the eyes, along the line of the eyes, in distances of the eyes.

    0 for a face that looks into the camera (0.00 for the template of `models.alignment`), about 0.5 for a profile.
    """
    left_eye, right_eye, nose = landmarks[:3].astype(np.float64)
    along = right_eye - left_eye
    return float(((nose - (left_eye + right_eye) / 2) @ along) / (along @ along))
