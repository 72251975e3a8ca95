"""MTCNN: three small networks in a row, built in, for machines without the default detector's file.

Zhang, Zhang, Li, Qiao, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", 2016
(arXiv 1604.02878): proposals over an image pyramid, refined, then turned into boxes with five landmarks.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from media_inference.models.kinds import DetectedFace, Kind, Pixels, SmallCopy
from media_inference.models.licence import MIT
from media_inference.models.model import BuiltFile, Model
from media_inference.models.nms import Boxes, nms
from media_inference.models.pixels import at_most, normalise, resize
from media_inference.models.self_test import SelfTest
from media_inference.models.session import Session, Tensor

LONG_SIDE = 1024
SMALLEST_FACE = 20
CELL, STRIDE = 12, 2
SCALE_STEP = 0.709
# The published ones are 0.6, 0.7, 0.7. The last was raised after the demo's samples showed a false face of 0.76; on the
# 38 pictures then looked at, true faces have 0.9995 and more. What it costs in hard, small faces was not measured.
THRESHOLDS = (0.6, 0.7, 0.8)
MEAN, STD = np.full(3, 127.5, np.float32), np.full(3, 128, np.float32)

# Bounds on memory and time, whatever a picture looks like: the surest go on.
MOST_PER_SCALE = 2000
MOST_PROPOSALS = 1000
BATCH = 128


class Candidates(NamedTuple):
    """Boxes that may be faces. ``shifts`` [N, 4]: how far to move each side, in widths and heights of the box."""

    boxes: Boxes
    scores: NDArray[np.float32]
    shifts: NDArray[np.float32]

    def pick(self, chosen: NDArray[np.int64]) -> "Candidates":
        """Only those of the given indices."""
        return Candidates(self.boxes[chosen], self.scores[chosen], self.shifts[chosen])

    def first(self, count: int) -> "Candidates":
        """The first ones."""
        return Candidates(self.boxes[:count], self.scores[:count], self.shifts[:count])

    def suppressed(self, threshold: float) -> "Candidates":
        """Those that stay after non-maximum suppression."""
        return self.pick(nms(self.boxes, self.scores, threshold))


class Mtcnn:
    """Faces of one picture; the three graphs are those of `models.graphs.mtcnn`."""

    long_side = LONG_SIDE
    small_copy: SmallCopy | None = None

    def __init__(self, name: str, proposal: Session, refinement: Session, output: Session) -> None:
        self.name = name
        self._proposal, self._refinement, self._output = proposal, refinement, output
        self.detect(np.zeros((64, 64, 3), np.uint8))

    def detect(self, picture: Pixels) -> list[DetectedFace]:
        """The faces with a confidence of at least 0.8, best first, boxes not clipped."""
        seen, back = at_most(picture, LONG_SIDE)
        proposals = _squares(self._propose(seen))
        refined = _squares(self._refine(seen, proposals))
        return [_scaled(face, back) for face in self._finish(seen, refined)]

    def _propose(self, picture: Pixels) -> Boxes:
        found = [self._propose_at(picture, scale) for scale in _scales(picture)]
        if not found:
            return np.empty((0, 4), np.float32)
        every = Candidates(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
        best = every.suppressed(0.7).first(MOST_PROPOSALS)
        return _moved(best.boxes, best.shifts)

    def _propose_at(self, picture: Pixels, scale: float) -> Candidates:
        rows, columns = picture.shape[:2]
        small = resize(picture, int(np.ceil(columns * scale)), int(np.ceil(rows * scale)))
        outputs = self._proposal.run({"input": normalise([small], MEAN, STD)})
        scores = outputs["faces"][0, 1]
        y, x = np.nonzero(scores >= THRESHOLDS[0])
        surest = np.argsort(-scores[y, x], kind="stable")[:MOST_PER_SCALE]
        y, x = y[surest], x[surest]
        corners = np.stack([x, y, x, y], axis=1) * STRIDE + np.array([0, 0, CELL, CELL])
        shifts = outputs["boxes"][0][:, y, x].T
        return Candidates((corners / scale).astype(np.float32), scores[y, x], shifts).suppressed(0.5)

    def _refine(self, picture: Pixels, boxes: Boxes) -> Boxes:
        outputs = _run(self._refinement, picture, boxes, 24)
        sure = np.flatnonzero(outputs["faces"][:, 1] >= THRESHOLDS[1])
        best = Candidates(boxes[sure], outputs["faces"][sure, 1], outputs["boxes"][sure]).suppressed(0.7)
        return _moved(best.boxes, best.shifts)

    def _finish(self, picture: Pixels, boxes: Boxes) -> Iterator[DetectedFace]:
        outputs = _run(self._output, picture, boxes, 48)
        sure = np.flatnonzero(outputs["faces"][:, 1] >= THRESHOLDS[2])
        scores, landmarks = outputs["faces"][sure, 1], _landmarks(boxes[sure], outputs["landmarks"][sure])
        moved = _moved(boxes[sure], outputs["boxes"][sure])
        for index in nms(moved, scores, 0.7, of_smaller=True):
            left, top, right, bottom = (float(side) for side in moved[index])
            yield DetectedFace((left, top, right - left, bottom - top), landmarks[index], float(scores[index]))


def _scales(picture: Pixels) -> Iterator[float]:
    scale = CELL / SMALLEST_FACE
    while min(picture.shape[:2]) * scale >= CELL:
        yield scale
        scale *= SCALE_STEP


def _moved(boxes: Boxes, shifts: NDArray[np.float32]) -> Boxes:
    sizes = boxes[:, 2:] - boxes[:, :2]
    return np.asarray(boxes + shifts * np.tile(sizes, 2), np.float32)


def _squares(boxes: Boxes) -> Boxes:
    """Each box grown around its centre to a square."""
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0, keepdims=True)
    centres = (boxes[:, 2:] + boxes[:, :2]) / 2
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)


def _run(session: Session, picture: Pixels, boxes: Boxes, side: int) -> dict[str, Tensor]:
    """The outputs of a network for all boxes, a bounded batch at a time."""
    batches = [boxes[start : start + BATCH] for start in range(0, len(boxes), BATCH)] or [boxes]
    runs = [session.run({"input": _crops(picture, batch, side)}) for batch in batches]
    return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}


def _crops(picture: Pixels, boxes: Boxes, side: int) -> Tensor:
    crops = np.empty((len(boxes), side, side, 3), np.uint8)
    for index, box in enumerate(boxes):
        crops[index] = _crop(picture, box, side)
    return normalise(crops, MEAN, STD)


def _crop(picture: Pixels, box: NDArray[np.float32], side: int) -> Pixels:
    """A square of the picture at ``side`` x ``side``, black where it lies outside."""
    left, top = (int(corner) for corner in np.rint(box[:2]))
    length = max(1, round(float(box[2] - box[0])))
    square = np.zeros((length, length, 3), np.uint8)
    rows, columns = picture.shape[:2]
    inside = picture[max(0, top) : max(0, top + length), max(0, left) : max(0, left + length)]
    below, right = max(0, -top), max(0, -left)
    if top < rows and left < columns:
        square[below : below + inside.shape[0], right : right + inside.shape[1]] = inside
    return resize(square, side, side)


def _landmarks(boxes: Boxes, shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, 5, 2]: five x, then five y, as shares of the square box, to points."""
    sizes = (boxes[:, 2:] - boxes[:, :2])[:, None]
    return np.asarray(boxes[:, None, :2] + shares.reshape(-1, 2, 5).transpose(0, 2, 1) * sizes, np.float32)


def _scaled(face: DetectedFace, back: NDArray[np.float32]) -> DetectedFace:
    x, y, width, height = (float(value) for value in np.array(face.box) * np.tile(back, 2))
    return DetectedFace((x, y, width, height), face.landmarks * back, face.confidence)


def _network(name: str, sessions: Mapping[str, Session]) -> Mtcnn:
    return Mtcnn(name, sessions["pnet.onnx"], sessions["rnet.onnx"], sessions["onet.onnx"])


def _graph(network: str) -> bytes:
    from media_inference.models.graphs import mtcnn

    return mtcnn.GRAPHS[network]()


MTCNN = Model(
    name="mtcnn",
    kind=Kind.FACE_DETECTOR,
    files=(
        BuiltFile("pnet.onnx", partial(_graph, "pnet")),
        BuiltFile("rnet.onnx", partial(_graph, "rnet")),
        BuiltFile("onet.onnx", partial(_graph, "onet")),
    ),
    network=_network,
    licence=MIT,
    summary="built in; finds faces, with five landmarks, several times slower than yunet-2023mar",
    source="the weights inside the PyPI package mtcnn 1.0.0",
    threshold=THRESHOLDS[2],
    dimension=None,
    self_test=SelfTest(side=96, batch=8),
)
