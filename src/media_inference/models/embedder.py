"""Pictures of one size to unit vectors: what all embedding networks have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from media_inference.errors import CannotStart, JobError
from media_inference.models.alignment import SIDE as FACE_SIDE
from media_inference.models.kinds import DIMENSION, Extent, Pixels, Vectors
from media_inference.models.picture_input import picture_input
from media_inference.models.pixels import Interpolation, normalise, pad, resize, shortest_crop, unit
from media_inference.models.session import Session, Tensor

LARGEST_BATCH = 16


class Fit(StrEnum):
    """How a picture comes to the size of the network's input."""

    SHORTEST_CROP = "shortest_crop"
    """Shorter side to the size, middle square (`pixels.shortest_crop`)."""
    WHOLE = "whole"
    """All of the picture, its aspect given up."""
    PAD = "pad"
    """All of the picture, in the middle of a black square (`pixels.pad`)."""
    ALIGNED = "aligned"
    """A face from `alignment.align`, already of the right size."""


class Colour(StrEnum):
    """Order of the colours in the network's input."""

    RGB = "rgb"
    BGR = "bgr"


@dataclass(frozen=True, slots=True)
class Input:
    """What a network wants to see. ``mean`` and ``std`` are in units of 0..255, in the order of ``colour``.

    ``name`` of the graph's input, None for its only one. ``batch``: most pictures in one run; 1 where a picture's
    vector would depend on its company. ``interpolation`` is not for aligned faces, which are always bilinear.
    """

    size: int
    fit: Fit
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    colour: Colour = Colour.RGB
    interpolation: Interpolation = Interpolation.BICUBIC
    name: str | None = None
    batch: int = LARGEST_BATCH


class Embedder:
    """An `ImageEmbedder` or `FaceEmbedder` around one graph.

    The graph is run when this is made: to find the output with one vector of 512 numbers per picture, whatever its
    name, and whether it takes several pictures at once, which its declared shapes do not always say truly. Raises
    `CannotStart` when there is no such output, or the graph takes other pictures.
    """

    def __init__(self, name: str, session: Session, wanted: Input) -> None:
        self.name = name
        self.short_side = 2 * wanted.size
        self._session = session
        self._input = wanted
        self._feed = picture_input(name, session, wanted.name, wanted.size)
        self._mean, self._std = np.array(wanted.mean, np.float32), np.array(wanted.std, np.float32)
        self._output = vector_output(name, self._first_run())
        self._batch = wanted.batch if wanted.batch > 1 and self._takes_two() else 1

    def embed(self, pictures: Sequence[Pixels], extents: Sequence[Extent] | None = None) -> Vectors:
        """[N, 512] float32, one unit vector per picture or aligned face; raises `PermanentError` for a useless one."""
        if not pictures:
            return np.empty((0, DIMENSION), np.float32)
        known: Sequence[Extent | None] = extents or [None] * len(pictures)
        shown = list(zip(pictures, known, strict=True))
        batches = [shown[start : start + self._batch] for start in range(0, len(shown), self._batch)]
        return unit(np.concatenate([self._run(batch) for batch in batches]))

    def _run(self, shown: Sequence[tuple[Pixels, Extent | None]]) -> Tensor:
        fitted = [_fit(picture, extent, self._input) for picture, extent in shown]
        if self._input.colour is Colour.BGR:
            fitted = [picture[:, :, ::-1] for picture in fitted]
        tensor = normalise(fitted, self._mean, self._std)
        if self._feed.channels_last:
            tensor = np.ascontiguousarray(tensor.transpose(0, 2, 3, 1))
        return self._session.run({self._feed.name: tensor}, together=self._batch)[self._output]

    def _first_run(self) -> Mapping[str, Tensor]:
        blank = self._blank(1)
        try:
            return self._session.run({self._feed.name: blank})
        except JobError as error:
            told = f"{self._feed.name} {list(blank.shape)} in float32"
            raise CannotStart(
                f"model {self.name}: its graph fails with {told} ({error.message}); is size right?"
            ) from error

    def _blank(self, count: int) -> Tensor:
        return np.zeros(self._feed.shape(count, self._input.size), np.float32)

    def _takes_two(self) -> bool:
        """Whether a batch works: some graphs say so and fail, some deny it and work."""
        try:
            return self._session.run({self._feed.name: self._blank(2)})[self._output].shape == (2, DIMENSION)
        except JobError:
            return False


def embedder(wanted: Input) -> Callable[[str, Mapping[str, Session]], Embedder]:
    """The `Model.network` of a model with one graph and this input."""

    def network(name: str, sessions: Mapping[str, Session]) -> Embedder:
        (session,) = sessions.values()
        return Embedder(name, session, wanted)

    return network


def _fit(picture: Pixels, extent: Extent | None, wanted: Input) -> Pixels:
    match wanted.fit:
        case Fit.SHORTEST_CROP:
            return shortest_crop(picture, wanted.size, wanted.interpolation, extent)
        case Fit.WHOLE:
            return resize(picture, wanted.size, wanted.size, wanted.interpolation, extent)
        case Fit.PAD:
            return pad(picture, wanted.size, wanted.interpolation, extent)
        case Fit.ALIGNED:
            return picture if wanted.size == FACE_SIDE else resize(picture, wanted.size, wanted.size)


def vector_output(model: str, outputs: Mapping[str, Tensor], of: str = "picture") -> str:
    """The output that is one vector of 512 numbers; raises `CannotStart` without one.

    Of several, the first that is called like an embedding (``image_embeds``), else the first: exports may give what
    comes before the projection as well.
    """
    fitting = [name for name, output in outputs.items() if output.shape == (1, DIMENSION)]
    if fitting:
        return min(fitting, key=lambda name: "embed" not in name.lower())
    shapes = ", ".join(f"{name} {list(output.shape)}" for name, output in outputs.items())
    raise CannotStart(
        f"model {model}: dimension is {DIMENSION}, one vector of {DIMENSION} numbers per {of}, but it gives {shapes}"
    )
