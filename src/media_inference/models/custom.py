"""Users' own models, one TOML file each; docs/how-to tells how to write one.

::

    name = "my-pictures"               # letters, digits, ".", "_", "-"
    kind = "image_embedder"            # or "face_embedder"; for "text_embedder" see `models.custom_text`
    file = "my-pictures.onnx"          # beside the TOML file
    sha256 = "…"                       # of that file
    input = "auto"                     # the graph's only input, or its name; may be left out
    colour = "rgb"                     # or "bgr"; may be left out
    mean = [123.675, 116.28, 103.53]   # one number or three, in units of 0..255, in the order of `colour`
    std = [58.395, 57.12, 57.375]
    size = 224                         # side of the square input
    resize = "shortest_crop"           # or "whole", "pad"; "aligned" for faces
    interpolation = "bicubic"          # or "bilinear"; may be left out, and must be for faces
    dimension = 512
    threshold = 0.9                    # cosine above which two vectors are likely the same thing
    text_tower = "my-clip-text"        # of an image embedder: the text embedder in the same space; may be left out
    licence = "…"                      # may be left out, like the summary
    summary = "…"
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from media_inference.errors import CannotStart
from media_inference.models.custom_keys import Line, Name, Sha256, Threshold
from media_inference.models.custom_text import CustomTextTower
from media_inference.models.embedder import Colour, Embedder, Fit, Input, embedder
from media_inference.models.kinds import DIMENSION, Kind
from media_inference.models.licence import Licence
from media_inference.models.model import LocalFile, Model
from media_inference.models.pixels import Interpolation
from media_inference.models.self_test import SelfTest
from media_inference.models.session import Session

FITS = {
    Kind.IMAGE_EMBEDDER: (Fit.SHORTEST_CROP, Fit.WHOLE, Fit.PAD),
    Kind.FACE_EMBEDDER: (Fit.ALIGNED,),
}


def load_custom_models(folder: Path) -> list[Model]:
    """The models described in ``folder`` (``{MODELS_DIR}/custom``), by file name; none when there is no such folder.

    Raises `CannotStart` with one line that names the file and the key.
    """
    return [_read(path) for path in sorted(folder.glob("*.toml"))]


def _thrice(value: object) -> object:
    if isinstance(value, int | float):
        return (value, value, value)
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError("one number is wanted, or a list of three")
    return value


def _all_positive(values: tuple[float, float, float]) -> tuple[float, float, float]:
    if min(values) <= 0:
        raise ValueError("must be above 0")
    return values


Mean = Annotated[tuple[float, float, float], BeforeValidator(_thrice)]
Std = Annotated[Mean, AfterValidator(_all_positive)]


class CustomModel(BaseModel):
    """The keys of a TOML file, as above."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Name
    kind: Kind
    file: Name
    sha256: Sha256
    input: str = "auto"
    colour: Colour = Colour.RGB
    mean: Mean
    std: Std
    size: Annotated[int, Field(ge=16, le=1024)]
    resize: Fit
    interpolation: Interpolation | None = None
    dimension: int
    threshold: Threshold
    text_tower: Name | None = None
    licence: Line = "not stated"
    summary: Line = "a model of your own"

    @model_validator(mode="after")
    def _fits_together(self) -> "CustomModel":
        if self.kind not in FITS:
            raise ValueError(
                f"kind must be {_either([*FITS, Kind.TEXT_EMBEDDER])}: a {self.kind} of your own is not taken"
            )
        if self.dimension != DIMENSION:
            raise ValueError(f"dimension must be {DIMENSION}: the collections take no other")
        if self.resize not in FITS[self.kind]:
            raise ValueError(f'resize must be {_either(FITS[self.kind])} for kind "{self.kind}"')
        if self.text_tower is not None and self.kind is not Kind.IMAGE_EMBEDDER:
            raise ValueError(f'text_tower is for kind "{Kind.IMAGE_EMBEDDER}"')
        if self.resize is Fit.ALIGNED and self.interpolation is not None:
            raise ValueError("interpolation must be left out for faces: they are aligned with a bilinear warp")
        if _in_units_of_one(self.mean, self.std):
            raise ValueError(
                "mean and std look like units of 0..1, but pixels are 0..255 here:"
                f" write mean = {_times_255(self.mean)} and std = {_times_255(self.std)}"
            )
        return self

    def model(self, described_in: str) -> Model:
        """The entry for the catalogue."""
        wanted = Input(
            size=self.size,
            fit=self.resize,
            mean=self.mean,
            std=self.std,
            colour=self.colour,
            interpolation=self.interpolation or Interpolation.BICUBIC,
            name=None if self.input == "auto" else self.input,
        )
        return Model(
            name=self.name,
            kind=self.kind,
            files=(LocalFile(self.file, self.sha256, described_in),),
            network=_network(wanted, described_in),
            licence=Licence(self.licence),
            summary=self.summary,
            source=f"custom/{described_in}",
            threshold=self.threshold,
            self_test=SelfTest((0 - self.mean[0]) / self.std[0], (255 - self.mean[0]) / self.std[0], self.size),
            text_tower=self.text_tower,
        )


def _either(words: Iterable[str]) -> str:
    return " or ".join(f'"{word}"' for word in words)


def _in_units_of_one(mean: Sequence[float], std: Sequence[float]) -> bool:
    """Nobody's pixels of 0..255 vary by less than one, or lie around a fraction of one: that is a trap, not a wish."""
    return max(std) < 1 or any(0 < abs(value) < 1 for value in mean)


def _times_255(values: Sequence[float]) -> str:
    """As TOML, brought to units of 0..255 if it is in the others."""
    scaled = [f"{value * 255 if max(values) <= 1 else value:.8g}" for value in values]
    return scaled[0] if len(set(scaled)) == 1 else f"[{', '.join(scaled)}]"


def _network(wanted: Input, described_in: str) -> Callable[[str, Mapping[str, Session]], Embedder]:
    """As `embedder`, with errors that name the description."""
    make = embedder(wanted)

    def network(name: str, sessions: Mapping[str, Session]) -> Embedder:
        try:
            return make(name, sessions)
        except CannotStart as error:
            raise CannotStart(f"{error} (it is described in {described_in})") from None

    return network


def _read(path: Path) -> Model:
    try:
        described = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # not readable, not UTF-8, not TOML, lists without end
        raise CannotStart(f"custom model {path}: {' '.join(str(error).split())}") from None
    keys = CustomTextTower if described.get("kind") == Kind.TEXT_EMBEDDER else CustomModel
    try:
        return keys.model_validate(described).model(path.name)
    except ValidationError as error:
        raise CannotStart(f"custom model {path}: {_worst_fault(error, keys.model_fields)}") from None


def _worst_fault(error: ValidationError, keys: Iterable[str]) -> str:
    """One fault in words; an unknown key first, because it is often why another one is missing."""
    faults = error.errors(include_url=False)
    fault = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    return ": ".join([*(str(part) for part in fault["loc"]), _in_words(fault, keys)])


def _in_words(fault: ErrorDetails, keys: Iterable[str]) -> str:
    if fault["type"] == "extra_forbidden":
        close = get_close_matches(str(fault["loc"][0]), keys, n=1)
        return f"there is no such key; did you mean {close[0]}?" if close else "there is no such key"
    if fault["type"] == "missing":
        return "this key is missing"
    return fault["msg"].removeprefix("Value error, ")
