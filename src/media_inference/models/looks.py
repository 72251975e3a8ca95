"""A face detector that looks more than once: at a smaller copy for faces that fill it, at tiles for tiny ones."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from media_inference.models.kinds import DetectedFace, FaceDetector, Pixels, SmallCopy
from media_inference.models.nms import nms
from media_inference.models.pixels import at_most, letterbox
from media_inference.models.tiles import grid

GAP = 32
"""Black pixels between a picture and its smaller copy on one canvas: with them, neither shows in the other's scores."""

LARGE = 0.25
"""Faces in the smaller copy count from this part of its side on; the first look sees smaller ones better."""

SMALL = 0.25
"""Faces in a tile count up to this part of its side; the first look sees larger ones better, and whole."""

COARSE = 0.05
"""By how much a face in the smaller copy must be surer than in a finer look, whose landmarks are more exact."""

FINEST, ENLARGED = 2560, 4
"""Tiles show the picture with this longer side in pixels, and at most so many times as large as the first look."""

ONE_FACE = 0.5
"""Two looks see one face when more than this part of the smaller box lies in the other."""


class Look(NamedTuple):
    """The faces that one look saw, in pixels of the picture; ``handicap`` is what their confidences count less."""

    faces: list[DetectedFace]
    handicap: float = 0.0


class Looks:
    """The faces that a detector finds in all looks, each once; a detector itself.

    The smaller copy shares the canvas of the first look where there is room beside the picture, from an aspect of 4:3
    on, and then costs next to nothing; else it costs a run of the network. With ``tiles``, a picture larger than the
    detector's input costs up to 25 runs more. A face of up to a sixth of a tile is whole in one of them; a larger
    one has more than 26 pixels in the first look.
    """

    def __init__(self, detector: FaceDetector, *, tiles: bool = False) -> None:
        self.name = detector.name
        self.small_copy: SmallCopy | None = None
        self._detector = detector
        self._side = detector.long_side
        self._finest = min(FINEST, ENLARGED * self._side)
        self._tiled = tiles
        self.long_side = max(self._side, self._finest) if tiles else self._side

    def detect(self, picture: Pixels) -> list[DetectedFace]:
        """The faces of all looks, best first, boxes not clipped."""
        return _merged([*self._whole(picture), *(self._tiles(picture) if self._tiled else ())])

    def _whole(self, picture: Pixels) -> list[Look]:
        """The whole picture, and its smaller copy where the detector wants one."""
        wanted = self._detector.small_copy
        if wanted is None:
            return [Look(self._detector.detect(picture))]
        canvas, back = letterbox(picture, self._side, self._side)
        columns, rows = np.rint(picture.shape[1::-1] / back).astype(int)
        copy = at_most(canvas[:rows, :columns], wanted.side)
        corner = _free_corner(self._side, (rows, columns), copy.pixels)
        if corner is None:
            corner = (0, 0)
            faces, seen = self._detector.detect(canvas), self._detector.detect(_canvas_of(self._side, copy.pixels))
        else:
            canvas[corner[1] :, corner[0] :] = copy.pixels
            faces, seen = _parted(self._detector.detect(canvas), corner)
        large = [face for face in seen if face.confidence >= wanted.confidence and _size(face) >= LARGE * wanted.side]
        return [
            Look([_moved(face, (0, 0), back) for face in faces]),
            Look([_moved(face, corner, copy.back * back) for face in large], COARSE),
        ]

    def _tiles(self, picture: Pixels) -> Iterator[Look]:
        """Overlapping parts of the picture in more detail; faces that may be cut by an edge of a tile do not count."""
        fine = at_most(picture, self._finest)
        if max(fine.pixels.shape[:2]) <= self._side:
            return
        for tile in grid(fine.pixels.shape, self._side):
            pixels = np.ascontiguousarray(fine.pixels[tile.top : tile.bottom, tile.left : tile.right])
            small = [face for face in self._detector.detect(pixels) if _size(face) <= SMALL * self._side]
            whole = [face for face in small if tile.has_whole(face, fine.pixels.shape)]
            yield Look([_moved(face, (-tile.left, -tile.top), fine.back) for face in whole])


def _size(face: DetectedFace) -> float:
    return max(face.box[2:])


def _free_corner(side: int, fitted: tuple[int, int], copy: Pixels) -> tuple[int, int] | None:
    """Where (x, y) a copy may lie at the lower right of the canvas, away from the fitted picture, or None."""
    rows, columns = copy.shape[:2]
    if fitted[0] + GAP + rows <= side or fitted[1] + GAP + columns <= side:
        return side - columns, side - rows
    return None


def _canvas_of(side: int, copy: Pixels) -> Pixels:
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[: copy.shape[0], : copy.shape[1]] = copy
    return canvas


def _parted(faces: Sequence[DetectedFace], corner: tuple[int, int]) -> tuple[list[DetectedFace], list[DetectedFace]]:
    """The faces of the picture, and those of the copy in the lower right corner, parted in the middle of the gap."""
    parts: tuple[list[DetectedFace], list[DetectedFace]] = [], []
    for face in faces:
        x, y, width, height = face.box
        parts[x + width / 2 >= corner[0] - GAP / 2 and y + height / 2 >= corner[1] - GAP / 2].append(face)
    return parts


def _moved(face: DetectedFace, corner: tuple[int, int], back: NDArray[np.float32]) -> DetectedFace:
    """A face of a look in pixels of the picture; ``corner`` is where the look has the picture's corner."""
    scale, start = [float(factor) for factor in back], corner
    x, y, width, height = face.box
    box = ((x - start[0]) * scale[0], (y - start[1]) * scale[1], width * scale[0], height * scale[1])
    return DetectedFace(box, (face.landmarks - np.array(corner, np.float32)) * back, face.confidence)


def _merged(looks: Sequence[Look]) -> list[DetectedFace]:
    """All faces, best first; of those that two looks see as one, the one that counts more."""
    faces = [face for look in looks for face in look.faces]
    numbers = np.array([number for number, look in enumerate(looks) for _ in look.faces], np.int64)
    counted = np.array([face.confidence - look.handicap for look in looks for face in look.faces], np.float32)
    boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    kept = nms(boxes, counted, ONE_FACE, of_smaller=True, looks=numbers)
    return sorted((faces[index] for index in kept), key=lambda face: -face.confidence)
