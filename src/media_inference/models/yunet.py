"""YuNet, the default face detector: small and quick, finds faces of about 20 to 300 pixels in a 640 x 640 input.

Measured on portraits made smaller: of faces with a height of 15 pixels 5 % are found, of 20 pixels 76 %, of 25 pixels
95 %, of 30 pixels all.
"""

from collections.abc import Mapping

import numpy as np

from media_inference.models.candidates import Candidates, faces
from media_inference.models.kinds import DetectedFace, Kind, Pixels, SmallCopy
from media_inference.models.licence import MIT
from media_inference.models.model import HubFile, Model
from media_inference.models.pixels import letterbox
from media_inference.models.self_test import SelfTest
from media_inference.models.session import Session, Tensor

SIDE = 640
STRIDES = (8, 16, 32)
THRESHOLD = 0.6
OVERLAP = 0.3


class YuNet:
    """Faces of one picture. Decoding as in OpenCV's ``FaceDetectorYN`` (Wu, Peng, Yu 2023)."""

    long_side = SIDE
    # Measured on cuts of photos whose faces fill them: 0.9 and more, and at most 0.65 for what is no face.
    small_copy: SmallCopy | None = SmallCopy(160, 0.75)

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self._session = session
        self._candidates(np.zeros((SIDE, SIDE, 3), np.uint8))

    def detect(self, picture: Pixels) -> list[DetectedFace]:
        """The faces with a confidence of at least 0.6, best first, boxes not clipped."""
        canvas, back = letterbox(picture, SIDE, SIDE)
        return faces(self._candidates(canvas), OVERLAP, back)

    def _candidates(self, canvas: Pixels) -> Candidates:
        blue_green_red = np.ascontiguousarray(canvas[None, :, :, ::-1].transpose(0, 3, 1, 2), np.float32)
        outputs = self._session.run({self._session.input_names[0]: blue_green_red})
        return np.concatenate([_decode(outputs, stride) for stride in STRIDES])


def _decode(outputs: Mapping[str, Tensor], stride: int) -> Candidates:
    """The cells of one stride that see a face; a cell's origin is its upper left corner."""
    cls, obj, box, points = (outputs[f"{name}_{stride}"][0] for name in ("cls", "obj", "bbox", "kps"))
    scores = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
    seen = np.flatnonzero(scores >= THRESHOLD)
    cells = np.stack([seen % (SIDE // stride), seen // (SIDE // stride)], axis=1).astype(np.float32)
    centres = (cells + box[seen, :2]) * stride
    halves = np.exp(np.minimum(box[seen, 2:], 10.0)) * stride / 2
    landmarks = (points[seen].reshape(-1, 5, 2) + cells[:, None]) * stride
    edges = [centres - halves, centres + halves]
    return np.concatenate([scores[seen, None], *edges, landmarks.reshape(-1, 10)], axis=1)


def _network(name: str, sessions: Mapping[str, Session]) -> YuNet:
    (session,) = sessions.values()
    return YuNet(name, session)


YUNET_2023MAR = Model(
    name="yunet-2023mar",
    kind=Kind.FACE_DETECTOR,
    files=(
        HubFile(
            repo="opencv/face_detection_yunet",
            revision="3cc26e7f1014a5ee5d74a42acee58bafc9d0a310",
            path="face_detection_yunet_2023mar.onnx",
            sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
            size=232589,
        ),
    ),
    network=_network,
    licence=MIT,
    summary="finds faces quickly, with five landmarks; misses those below about 20 pixels in a 640-pixel copy",
    source="WIDER FACE average precision .884/.866/.750 (easy/medium/hard), as its authors publish it",
    threshold=THRESHOLD,
    dimension=None,
    self_test=SelfTest(low=0, high=255, side=SIDE),
)
