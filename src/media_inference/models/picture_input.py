"""What a graph says about the pictures that it takes, held against what its description says."""

from dataclasses import dataclass

from media_inference.errors import CannotStart
from media_inference.models.session import Session

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class PictureInput:
    """The one input of a graph. ``channels_last``: it is [N, height, width, 3] and not [N, 3, height, width]."""

    name: str
    channels_last: bool

    def shape(self, count: int, side: int) -> tuple[int, int, int, int]:
        """Of ``count`` square pictures."""
        return (count, side, side, 3) if self.channels_last else (count, 3, side, side)


def picture_input(model: str, session: Session, wanted: str | None, side: int) -> PictureInput:
    """The input that takes pictures of this side: the one called ``wanted``, or the only one.

    A free axis may be anything, and a graph need not declare any shape. Raises `CannotStart` with one line that names
    what contradicts the description.
    """
    name = _name(model, session, wanted)
    shape = session.input_shapes[session.input_names.index(name)]
    if not shape:
        return PictureInput(name, channels_last=False)
    told = f"model {model}: its graph takes {name} {_shown(shape)}"
    if len(shape) != 4:
        raise CannotStart(f"{told}, which is no batch of pictures")
    channels_last = shape[3] == 3 and shape[1] != 3
    batch, colours, *sides = (shape[0], shape[3], *shape[1:3]) if channels_last else shape
    if colours not in {None, 3}:
        raise CannotStart(f"{told}, not three colours per pixel")
    if batch not in {None, 1}:
        raise CannotStart(f"{told}, always {batch} pictures at once: export it with a free batch, or with 1")
    _refuse_other_sides(told, {declared for declared in sides if declared is not None}, side)
    return PictureInput(name, channels_last)


def _name(model: str, session: Session, wanted: str | None) -> str:
    there_are = ", ".join(session.input_names)
    if wanted is not None and wanted not in session.input_names:
        raise CannotStart(f"model {model}: its graph has no input {wanted!r}, only {there_are}")
    if len(session.input_names) != 1:
        raise CannotStart(
            f"model {model}: its graph has more inputs than pictures ({there_are}): export that part alone"
        )
    return session.input_names[0]


def _refuse_other_sides(told: str, declared: set[int], side: int) -> None:
    if len(declared) > 1:
        raise CannotStart(f"{told}, but pictures are given to it as squares")
    if declared - {side}:
        raise CannotStart(f"{told}, but size is {side}: write size = {declared.pop()}")


def _shown(shape: Shape) -> str:
    return f"[{', '.join('?' if axis is None else str(axis) for axis in shape)}]"
