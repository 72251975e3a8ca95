"""Non-maximum suppression: of boxes that show one thing, the surest stays."""

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]
"""[N, 4] float32: left, top, right, bottom."""


def nms(
    boxes: Boxes,
    scores: NDArray[np.float32],
    threshold: float,
    *,
    of_smaller: bool = False,
    looks: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Indices of the boxes that stay, best first: greedy, dropping a box that overlaps a better one by more.

    The overlap is intersection over union, or with ``of_smaller`` intersection over the smaller of the two areas, which
    also drops a box inside another. With ``looks``, [N], only boxes of different looks drop each other.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        stays = _overlaps(boxes[best], boxes[rest], of_smaller=of_smaller) <= threshold
        order = rest[stays if looks is None else stays | (looks[rest] == looks[best])]
    return np.array(kept, np.int64)


def _overlaps(box: NDArray[np.float32], others: Boxes, *, of_smaller: bool) -> NDArray[np.float32]:
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.maximum(sides, 0).prod(axis=1)
    area, areas = _area(box[None]), _area(others)
    whole = np.minimum(area, areas) if of_smaller else area + areas - shared
    return np.asarray(shared / np.maximum(whole, 1e-9))


def _area(boxes: Boxes) -> NDArray[np.float32]:
    return np.asarray(np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1))
