"""What the descriptions of users' models have in common."""

from typing import Annotated

from pydantic import Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""Of a model, or of a file beside its description."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""Of a file, in lower-case hex."""

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\P{Cc}*$")]
"""One line of text."""

Threshold = Annotated[float, Field(ge=-1, le=1)]
"""A cosine."""
