"""The tokens of a text to a unit vector: what the text towers of CLIP have in common."""

from collections.abc import Mapping, Sequence

import numpy as np

from media_inference.errors import CannotStart, JobError
from media_inference.models.embedder import vector_output
from media_inference.models.kinds import Vectors
from media_inference.models.pixels import unit
from media_inference.models.session import Feed, Session

CONTEXT = 77
"""Tokens that CLIP was trained with (openai/CLIP, ``model.py``)."""

_INTEGERS = ("int32", "int64")
_SHORT, _OTHER = (1, 2), (1,)


class TokenEmbedder:
    """A `TextEmbedder` around one graph.

    The graph takes the tokens and, in exports by Hugging Face, a mask of those that count; what its inputs are called,
    and how wide their integers are, is read from it. Whether it takes texts of any length, which its declared shapes do
    not always say truly, is tried when this is made. Where it does not, texts are padded: with zeros, as open_clip
    does, or with the token that ends the text where there is a mask, as Hugging Face does. Raises `CannotStart` when
    the graph has other inputs, or no output with one vector of 512 numbers.
    """

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self._session = session
        self._ids, self._mask = _inputs(name, session)
        self._types = dict(zip(session.input_names, session.input_types, strict=True))
        shape = session.input_shapes[session.input_names.index(self._ids)]
        fixed = shape[1] if len(shape) == 2 else None
        self.longest = fixed or CONTEXT
        self._pad_to = 0 if fixed is None and self._takes_any_length() else self.longest
        self._output = vector_output(name, session.run(self.feeds(_SHORT)), of="text")

    def embed(self, tokens: Sequence[int]) -> Vectors:
        """[1, 512] float32, a unit vector; raises `PermanentError` for a useless one."""
        return unit(self._session.run(self.feeds(tokens))[self._output])

    def feeds(self, tokens: Sequence[int]) -> dict[str, Feed]:
        """The inputs of the graph for the tokens of a text."""
        room = max(0, self._pad_to - len(tokens))
        padding = tokens[-1] if self._mask else 0
        feeds = {self._ids: self._row(self._ids, [*tokens, *[padding] * room])}
        if self._mask:
            feeds[self._mask] = self._row(self._mask, [1] * len(tokens) + [0] * room)
        return feeds

    def _row(self, name: str, numbers: Sequence[int]) -> Feed:
        row: Feed = np.array([numbers], self._types[name])
        return row

    def _takes_any_length(self) -> bool:
        self._pad_to = 0
        try:
            for tokens in (_SHORT, _OTHER):
                self._session.run(self.feeds(tokens))
        except JobError:
            return False
        return True


def _inputs(model: str, session: Session) -> tuple[str, str | None]:
    """The names of the input for the tokens and of that for the mask, None where there is none."""
    masks = [name for name in session.input_names if "mask" in name]
    ids = [name for name in session.input_names if name not in masks]
    if len(ids) != 1 or len(masks) > 1:
        names = ", ".join(session.input_names)
        raise CannotStart(f"model {model}: a text tower takes tokens and at most a mask, but its graph takes {names}")
    for name, kind in zip(session.input_names, session.input_types, strict=True):
        if kind not in _INTEGERS:
            raise CannotStart(f"model {model}: a text tower takes numbers of tokens, but its input {name} is {kind}")
    return ids[0], masks[0] if masks else None


def token_embedder(name: str, sessions: Mapping[str, Session]) -> TokenEmbedder:
    """The `Model.network` of a text tower with one graph."""
    (session,) = sessions.values()
    return TokenEmbedder(name, session)
