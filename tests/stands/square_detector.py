"""A detector for tests of geometry: its faces are bright squares, of sizes that its input must show them in."""

import cv2
import numpy as np
from numpy.typing import NDArray

from media_inference.models.kinds import DetectedFace, Pixels, SmallCopy
from media_inference.models.pixels import letterbox


class SquareDetector:
    """Sees bright squares of 10 to 300 pixels in its 640 x 640 input, as YuNet sees faces.

    A piece of a square is a square to it, and it is the surer the smaller that is. ``runs`` counts its looks.
    """

    name = "squares"
    long_side = 640

    def __init__(self, small_copy: SmallCopy | None = SmallCopy(160, 0.75)) -> None:  # noqa: B008  # frozen
        self.small_copy = small_copy
        self.runs = 0

    def detect(self, picture: Pixels) -> list[DetectedFace]:
        """The squares, with all landmarks in their upper left corner."""
        self.runs += 1
        canvas, back = letterbox(picture, self.long_side, self.long_side)
        _, _, blobs, _ = cv2.connectedComponentsWithStats((canvas[:, :, 0] > 127).astype(np.uint8))
        seen = [blob for blob in blobs[1:] if 10 <= max(blob[2:4]) <= 300]
        return sorted((_face(blob, back) for blob in seen), key=lambda face: -face.confidence)


def _face(blob: NDArray[np.int32], back: NDArray[np.float32]) -> DetectedFace:
    x, y, width, height = (float(value) for value in blob[:4] * np.tile(back, 2))
    return DetectedFace((x, y, width, height), np.full((5, 2), (x, y), np.float32), 1 - float(max(blob[2:4])) / 10_000)
