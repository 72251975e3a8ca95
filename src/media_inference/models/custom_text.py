"""Users' own text towers, one TOML file each; `models.custom` reads it.

::

    name = "my-clip-text"              # what `text_tower` of the image model says
    kind = "text_embedder"
    file = "my-clip-text.onnx"         # beside the TOML file
    sha256 = "…"                       # of that file
    tokenizer = "my-clip-text.json"    # a tokenizer.json of CLIP, beside the TOML file
    tokenizer_sha256 = "…"             # of that file
    dimension = 512
    threshold = 0.25                   # cosine above which a text and a picture likely match
    licence = "…"                      # may be left out, like the summary
    summary = "…"
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from media_inference.models.custom_keys import Line, Name, Sha256, Threshold
from media_inference.models.kinds import Kind
from media_inference.models.licence import Licence
from media_inference.models.model import LocalFile, Model
from media_inference.models.text_embedder import token_embedder
from media_inference.models.text_self_test import TextSelfTest


class CustomTextTower(BaseModel):
    """The keys of a TOML file, as above."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Name
    kind: Literal[Kind.TEXT_EMBEDDER]
    file: Name
    sha256: Sha256
    tokenizer: Name
    tokenizer_sha256: Sha256
    dimension: Literal[512]
    threshold: Threshold
    licence: Line = "not stated"
    summary: Line = "a text tower of your own"

    def model(self, described_in: str) -> Model:
        """The entry for the catalogue."""
        return Model(
            name=self.name,
            kind=self.kind,
            files=(
                LocalFile(self.file, self.sha256, described_in),
                LocalFile(self.tokenizer, self.tokenizer_sha256, described_in),
            ),
            tokenizer=self.tokenizer,
            network=token_embedder,
            self_test=TextSelfTest(),
            licence=Licence(self.licence),
            summary=self.summary,
            source=f"custom/{described_in}",
            threshold=self.threshold,
        )
