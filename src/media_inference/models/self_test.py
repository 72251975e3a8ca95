"""How a graph is asked whether it computes what it once computed, and what its answer is boiled down to."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media_inference.models.golden_picture import golden_picture
from media_inference.models.session import Feed, Session, Tensor

Fingerprint = NDArray[np.float32]
"""[M] float32 of length 1."""

REVISION = 1
"""Raised when the picture, the input or the fingerprint are made in another way: older references then don't count."""

_NUMBERS = 512
_FEWEST = 16
_NOTHING = 1e-30


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What the graphs of a model are given to look at: `golden_picture`, black being ``low`` and white ``high``.

    ``side`` and ``batch`` hold where a graph leaves its size or the number of pictures free. ``cosine``: how near two
    fingerprints must be, on the CPU.
    """

    low: float = -1.0
    high: float = 1.0
    side: int = 224
    batch: int = 1
    cosine: float = 0.9999

    def feeds(self, session: Session) -> Mapping[str, Feed] | None:
        """The input of a graph that takes pictures, None for any other."""
        shape = session.input_shapes[0]
        channels_last = len(shape) == 4 and shape[3] == 3 and shape[1] != 3
        if len(session.input_names) != 1 or len(shape) != 4 or not (channels_last or shape[1] in {3, None}):
            return None
        height, width = (size or self.side for size in (shape[1:3] if channels_last else shape[2:]))
        pictures = self._pictures(shape[0] or self.batch, height, width)
        return {session.input_names[0]: pictures if channels_last else pictures.transpose(0, 3, 1, 2).copy()}

    def _pictures(self, count: int, height: int, width: int) -> Tensor:
        """[count, height, width, 3]: the picture, and shifted copies of it for the other places of a batch."""
        picture = golden_picture(height, width).astype(np.float32)
        batch = np.stack([np.roll(picture, index * width // count, axis=1) for index in range(count)])
        return np.asarray(batch / 255 * (self.high - self.low) + self.low, np.float32)


def fingerprint(outputs: Mapping[str, Tensor]) -> Fingerprint:
    """All outputs of a run as one vector to which each output adds the same length.

    An output is cut into blocks of which the means are taken, so that every number counts; then less their mean,
    because what all blocks have in common would drown the rest.
    """
    blocks = max(_FEWEST, _NUMBERS // len(outputs))
    with np.errstate(all="ignore"):  # a graph that gives infinities is found out by its cosine
        parts = np.concatenate([_boiled_down(outputs[name], blocks) for name in sorted(outputs)])
        return np.asarray(parts / max(float(np.linalg.norm(parts)), _NOTHING), np.float32)


def is_usable(found: Fingerprint) -> bool:
    """Whether there is anything in it to compare: not for a graph that gives zeros or what is no number."""
    return bool(np.isfinite(found).all() and found.any())


def _boiled_down(output: Tensor, blocks: int) -> NDArray[np.float64]:
    numbers = output.astype(np.float64).ravel()
    means = np.array([part.mean() for part in np.array_split(numbers, min(blocks, numbers.size))])
    centred = means - means.mean()
    # What differs by rounding only says nothing: such an output counts as it is.
    chosen = centred if np.linalg.norm(centred) > 1e-5 * np.linalg.norm(means) else means
    return np.asarray(chosen / max(float(np.linalg.norm(chosen)), _NOTHING))


def cosine(one: Fingerprint, other: Fingerprint) -> float:
    """How alike two fingerprints are: 1 for the same, -1 when they can't be compared."""
    if one.shape != other.shape:
        return -1.0
    found = float(one.astype(np.float64) @ other.astype(np.float64))
    return found if np.isfinite(found) else -1.0
