"""What a text tower is asked at load."""

from collections.abc import Mapping
from dataclasses import dataclass

from media_inference.models.self_test import SelfTest
from media_inference.models.session import Feed, Session
from media_inference.models.text_embedder import TokenEmbedder

QUESTION = (49406, 320, 1125, 539, 320, 2368, 49407)
"""The tokens of "a photo of a cat"."""


@dataclass(frozen=True, slots=True)
class TextSelfTest(SelfTest):
    """As `SelfTest`, with a text in the place of the picture."""

    def feeds(self, session: Session) -> Mapping[str, Feed] | None:
        """The inputs of a text tower's graph."""
        return TokenEmbedder("self-test", session).feeds(QUESTION)
