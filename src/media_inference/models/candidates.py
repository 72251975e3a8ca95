"""Boxes with landmarks that may be faces, as one-shot detectors give them, to the faces they are."""

import numpy as np
from numpy.typing import NDArray

from media_inference.models.kinds import DetectedFace
from media_inference.models.nms import nms

MOST_CANDIDATES = 5000
"""A bound on time, whatever a picture looks like: the surest go on."""

Candidates = NDArray[np.float32]
"""[N, 15] float32: score, left, top, right, bottom, then x and y of five landmarks, in pixels of the canvas."""


def faces(candidates: Candidates, overlap: float, back: NDArray[np.float32]) -> list[DetectedFace]:
    """The faces, best first: candidates that overlap a surer one by more are dropped.

    ``back`` is [2] float32: pixels of the picture per pixel of the canvas, across and down.
    """
    surest = candidates[np.argsort(-candidates[:, 0], kind="stable")[:MOST_CANDIDATES]]
    return [_face(row, back) for row in surest[nms(surest[:, 1:5], surest[:, 0], overlap)]]


def _face(row: NDArray[np.float32], back: NDArray[np.float32]) -> DetectedFace:
    left, top, right, bottom = (float(edge) for edge in row[1:5] * np.tile(back, 2))
    return DetectedFace((left, top, right - left, bottom - top), row[5:].reshape(5, 2) * back, float(row[0]))
