"""A tokenizer.json. This file is the only one that knows the library `tokenizers`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tokenizers

from media_inference.errors import CannotStart, ErrorCode, MediaInferenceError, PermanentError

START, END = "<|startoftext|>", "<|endoftext|>"


class JsonTokenizer:
    """CLIP's tokens: how text is cleaned and cut is the file's affair, start, end and length are ours.

    Raises `CannotStart` when the bytes are no tokenizer, or one without CLIP's tokens for start and end.
    """

    def __init__(self, content: bytes, *, model: str) -> None:
        with _faults_as(lambda line: CannotStart(f"model {model}: its tokenizer can't be read ({line})")):
            self._tokenizer = tokenizers.Tokenizer.from_buffer(content)
        self._start, self._end = self._special(START, model), self._special(END, model)
        # Exports bring along what suited their maker.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        # A user who writes <|endoftext|> has written thirteen characters, not the end.
        self._tokenizer.encode_special_tokens = True

    def encode(self, text: str, longest: int) -> list[int]:
        """Start, the tokens of the text, end: ``longest`` in all at most; a longer text loses its own end.

        Raises `PermanentError` (`internal`) when the tokenizer can't cut the text.
        """
        with _faults_as(lambda line: PermanentError(ErrorCode.INTERNAL, f"the tokenizer can't cut a text ({line})")):
            tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [self._start, *tokens[: longest - 2], self._end]

    def _special(self, token: str, model: str) -> int:
        number: int | None = self._tokenizer.token_to_id(token)
        if number is None:
            raise CannotStart(f"model {model}: its tokenizer has no {token}; it is not one of CLIP")
        return number


@contextmanager
def _faults_as(ours: Callable[[str], MediaInferenceError]) -> Iterator[None]:
    """The library raises plain exceptions, and panics, which are no `Exception` and have no importable type."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            raise
        raise ours(" ".join(str(error).split())) from None
