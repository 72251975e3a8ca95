"""Many point ids in little memory."""

import uuid
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from media_inference.jobs.outcome import PointId

_WIDTH = 16


class IdSet:
    """16 bytes per id, twice that while it is sorted: 32 MB for a million. Add all ids first, then ask."""

    def __init__(self) -> None:
        self._added = bytearray()
        self._sorted: NDArray[np.bytes_] | None = None

    def add(self, ids: Iterable[PointId]) -> None:
        """Puts ids in; after the first question that is a `ValueError`."""
        if self._sorted is not None:
            raise ValueError("no id can be added any more")
        for point_id in ids:
            self._added += _packed(point_id)

    def without(self, ids: Iterable[PointId]) -> list[PointId]:
        """Those of the ids that are not in it."""
        asked = list(ids)
        present = self._contains(np.array([_packed(point_id) for point_id in asked], f"S{_WIDTH}"))
        return [point_id for point_id, there in zip(asked, present.tolist(), strict=True) if not there]

    def _contains(self, packed: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        if self._sorted is None:
            self._sorted = np.sort(np.frombuffer(bytes(self._added), f"S{_WIDTH}"))
            self._added.clear()
        if not len(self._sorted):
            return np.zeros(len(packed), np.bool_)
        places = np.searchsorted(self._sorted, packed)
        return np.asarray(self._sorted[np.minimum(places, len(self._sorted) - 1)] == packed)


def _packed(point_id: PointId) -> bytes:
    """As wide as a UUID. A number below 2**64 is never one: version and variant of a UUID lie above and beside it."""
    return point_id.to_bytes(_WIDTH, "big") if isinstance(point_id, int) else uuid.UUID(point_id).bytes
