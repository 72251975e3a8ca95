"""SCRFD, the face detector of InsightFace's packs: two anchors per cell, a box and five landmarks for each.

Guo, Deng, Lattas, Zafeiriou, "Sample and Computation Redistribution for Efficient Face Detection", 2021
(arXiv 2105.04714). Exports differ in the names and the order of their nine outputs, so these are told apart by shape.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from media_inference.errors import CannotStart
from media_inference.models.candidates import Candidates, faces
from media_inference.models.kinds import DetectedFace, Kind, Pixels, SmallCopy
from media_inference.models.licence import INSIGHTFACE
from media_inference.models.model import HubFile, Model
from media_inference.models.pixels import letterbox, normalise
from media_inference.models.self_test import SelfTest
from media_inference.models.session import Session, Tensor

SIDE = 640
"""Of the input, where the graph leaves it free."""

STRIDES = (8, 16, 32)
ANCHORS = 2
THRESHOLD = 0.5
OVERLAP = 0.4
MEAN, STD = np.full(3, 127.5, np.float32), np.full(3, 128, np.float32)

SCORE, BOX, LANDMARKS = 1, 4, 10
"""Numbers per anchor, by which the outputs are known: a score, four distances, five points."""


class Level(NamedTuple):
    """The names of the outputs of one stride."""

    stride: int
    score: str
    box: str
    landmarks: str


class Scrfd:
    """Faces of one picture.

    The graph is run when this is made, to see which output is which. Raises `CannotStart` when its input is not a
    square picture or its outputs are not those of SCRFD with landmarks.
    """

    # As far above the threshold as for YuNet; not measured, for want of the weights.
    small_copy: SmallCopy | None = SmallCopy(160, 0.65)

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self.long_side = _side(name, session.input_shapes)
        self._session = session
        blank = np.zeros((self.long_side, self.long_side, 3), np.uint8)
        self._levels = _levels(name, self.long_side, self._run(blank))

    def detect(self, picture: Pixels) -> list[DetectedFace]:
        """The faces with a confidence of at least 0.5, best first, boxes not clipped."""
        canvas, back = letterbox(picture, self.long_side, self.long_side)
        outputs = self._run(canvas)
        candidates = [_decode(outputs, level, self.long_side // level.stride) for level in self._levels]
        return faces(np.concatenate(candidates), OVERLAP, back)

    def _run(self, canvas: Pixels) -> Mapping[str, Tensor]:
        return self._session.run({self._session.input_names[0]: normalise([canvas], MEAN, STD)})


def _side(name: str, shapes: tuple[tuple[int | None, ...], ...]) -> int:
    """The side of the square input: the graph's own, or 640."""
    shape = shapes[0] if len(shapes) == 1 else ()
    if len(shape) == 4 and shape[0] in {1, None} and shape[1] in {3, None}:
        height, width = shape[2] or shape[3] or SIDE, shape[3] or shape[2] or SIDE
        if height == width and height % max(STRIDES) == 0:
            return height
    raise CannotStart(
        f"model {name}: its input is no square picture with a side that {max(STRIDES)} divides, but {list(shapes)}"
    )


def _levels(name: str, side: int, outputs: Mapping[str, Tensor]) -> list[Level]:
    """One level per stride; each output is known by its numbers per anchor and its count of anchors."""
    known: dict[tuple[int, int], list[str]] = {}
    for output, values in outputs.items():
        per_anchor = values.shape[-1] if values.ndim else 0
        known.setdefault((values.size // max(1, per_anchor), per_anchor), []).append(output)
    anchors = {stride: ANCHORS * (side // stride) ** 2 for stride in STRIDES}
    wanted = {(count, numbers) for count in anchors.values() for numbers in (SCORE, BOX, LANDMARKS)}
    if set(known) != wanted or len(outputs) != len(wanted):
        there_are = ", ".join(f"{output} {list(values.shape)}" for output, values in outputs.items())
        raise CannotStart(
            f"model {name}: SCRFD has scores, boxes and landmarks of {', '.join(map(str, anchors.values()))} anchors; "
            f"this graph gives {there_are}"
        )
    return [
        Level(stride, *(known[count, numbers][0] for numbers in (SCORE, BOX, LANDMARKS)))
        for stride, count in anchors.items()
    ]


def _decode(outputs: Mapping[str, Tensor], level: Level, columns: int) -> Candidates:
    """The anchors of one stride that see a face; all anchors of a cell lie on its upper left corner."""
    scores = outputs[level.score].reshape(-1)
    seen = np.flatnonzero(scores >= THRESHOLD)
    cells = seen // ANCHORS
    corners = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
    distances = outputs[level.box].reshape(-1, BOX)[seen]
    edges = np.concatenate([corners - distances[:, :2], corners + distances[:, 2:]], axis=1)
    landmarks = outputs[level.landmarks].reshape(-1, 5, 2)[seen] + corners[:, None]
    grid = np.concatenate([edges, landmarks.reshape(-1, LANDMARKS)], axis=1)
    return np.concatenate([scores[seen, None], grid * level.stride], axis=1)


def _network(name: str, sessions: Mapping[str, Session]) -> Scrfd:
    (session,) = sessions.values()
    return Scrfd(name, session)


BUFFALO_L_DETECTOR = Model(
    name="buffalo-l-detector",
    kind=Kind.FACE_DETECTOR,
    files=(
        HubFile(
            repo="immich-app/buffalo_l",
            revision="d09715916a0778919a770c343533641e250b8699",
            path="detection/model.onnx",
            sha256="5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91",
            size=16923827,
        ),
    ),
    network=_network,
    licence=INSIGHTFACE,
    summary="finds more small and hidden faces than yunet-2023mar, far more slowly; for non-commercial research only",
    source="WIDER FACE average precision .954/.940/.828 (easy/medium/hard), as its authors publish it",
    threshold=THRESHOLD,
    dimension=None,
    self_test=SelfTest(low=-127.5 / 128, high=127.5 / 128, side=SIDE),
)
