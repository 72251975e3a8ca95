"""A tokenizer.json. This file is the only one that knows the library `tokenizers`."""

import tokenizers

from media_inference.errors import CannotStart

START, END = "<|startoftext|>", "<|endoftext|>"


class JsonTokenizer:
    """CLIP's tokens: how text is cleaned and cut is the file's affair, start, end and length are ours.

    Raises `CannotStart` when the bytes are no tokenizer, or one without CLIP's tokens for start and end.
    """

    def __init__(self, content: bytes, *, model: str) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_buffer(content)
        except Exception as error:  # noqa: BLE001  # the library raises nothing more special
            line = " ".join(str(error).split())
            raise CannotStart(f"model {model}: its tokenizer can't be read ({line})") from None
        self._start, self._end = self._special(START, model), self._special(END, model)
        # Exports bring along what suited their maker.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        # A user who writes <|endoftext|> has written thirteen characters, not the end.
        self._tokenizer.encode_special_tokens = True

    def encode(self, text: str, longest: int) -> list[int]:
        """Start, the tokens of the text, end: ``longest`` in all at most; a longer text loses its own end."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [self._start, *tokens[: longest - 2], self._end]

    def _special(self, token: str, model: str) -> int:
        number: int | None = self._tokenizer.token_to_id(token)
        if number is None:
            raise CannotStart(f"model {model}: its tokenizer has no {token}; it is not one of CLIP")
        return number
