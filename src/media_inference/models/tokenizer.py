"""What a text tower needs of a tokenizer."""

from typing import Protocol


class Tokenizer(Protocol):
    """Text to the numbers of its pieces. ``runtime/json_tokenizer.py`` is the real one."""

    def encode(self, text: str, longest: int) -> list[int]:
        """The token that starts a text, those of the text, the token that ends it: ``longest`` in all at most.

        A longer text loses its end, not the token that ends it.
        """
        ...
