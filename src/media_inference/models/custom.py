"""Users' own models, one TOML file each; docs/how-to tells how to write one.

::

    name = "my-faces"                  # letters, digits, ".", "_", "-"
    kind = "face_embedder"             # or "image_embedder"
    file = "my-faces.onnx"             # beside the TOML file
    sha256 = "…"                       # of that file
    input = "auto"                     # the graph's first input, or its name; may be left out
    colour = "rgb"                     # or "bgr"; may be left out
    mean = 127.5                       # one number or three, in units of 0..255, in the order of `colour`
    std = 127.5
    size = 112                         # side of the square input
    resize = "aligned"                 # for faces; "shortest_crop" for pictures
    dimension = 512
    threshold = 0.4                    # cosine above which two vectors are likely the same thing
    licence = "…"
    summary = "…"
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from media_inference.errors import CannotStart
from media_inference.models.embedder import Colour, Fit, Input, embedder
from media_inference.models.kinds import DIMENSION, Kind
from media_inference.models.model import LocalFile, Model


def load_custom_models(folder: Path) -> list[Model]:
    """The models described in ``folder`` (``{MODELS_DIR}/custom``), by file name; none when there is no such folder.

    Raises `CannotStart` with one line that names the file and the key.
    """
    return [_read(path) for path in sorted(folder.glob("*.toml"))]


def _thrice(value: object) -> object:
    return (value, value, value) if isinstance(value, int | float) else value


def _all_positive(values: tuple[float, float, float]) -> tuple[float, float, float]:
    if min(values) <= 0:
        raise ValueError("must be above 0")
    return values


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Mean = Annotated[tuple[float, float, float], BeforeValidator(_thrice)]
Std = Annotated[Mean, AfterValidator(_all_positive)]


class CustomModel(BaseModel):
    """The keys of a TOML file, as above."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Name
    kind: Literal[Kind.IMAGE_EMBEDDER, Kind.FACE_EMBEDDER]
    file: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    input: str = "auto"
    colour: Colour = Colour.RGB
    mean: Mean
    std: Std
    size: Annotated[int, Field(ge=16, le=1024)]
    resize: Literal[Fit.SHORTEST_CROP, Fit.ALIGNED]
    dimension: int
    threshold: Annotated[float, Field(ge=-1, le=1)]
    licence: str
    summary: str

    @model_validator(mode="after")
    def _fits_together(self) -> "CustomModel":
        if self.dimension != DIMENSION:
            raise ValueError(f"dimension must be {DIMENSION}: the collections take no other")
        wanted = Fit.ALIGNED if self.kind is Kind.FACE_EMBEDDER else Fit.SHORTEST_CROP
        if self.resize is not wanted:
            raise ValueError(f'resize must be "{wanted}" for kind "{self.kind}"')
        return self

    def model(self, described_in: str) -> Model:
        """The entry for the catalogue."""
        wanted = Input(
            size=self.size,
            fit=self.resize,
            mean=self.mean,
            std=self.std,
            colour=self.colour,
            name=None if self.input == "auto" else self.input,
        )
        return Model(
            name=self.name,
            kind=self.kind,
            files=(LocalFile(self.file, self.sha256),),
            network=embedder(wanted),
            licence=self.licence,
            summary=self.summary,
            source=f"custom/{described_in}",
            threshold=self.threshold,
        )


def _read(path: Path) -> Model:
    try:
        return CustomModel.model_validate(tomllib.loads(path.read_text("utf-8"))).model(path.name)
    except ValidationError as error:
        raise CannotStart(f"custom model {path}: {_first_fault(error)}") from None
    except (OSError, ValueError) as error:  # not readable, not UTF-8, not TOML
        raise CannotStart(f"custom model {path}: {' '.join(str(error).split())}") from None


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    return ": ".join([*(str(part) for part in fault["loc"]), fault["msg"]])
