"""CLIP's tokens, from a tokenizer.json with OpenAI's vocabulary."""

import json

import pytest

from media_inference.errors import CannotStart, PermanentError
from media_inference.runtime.json_tokenizer import JsonTokenizer
from tests.stands.clip_tokenizer import END, START, clip_tokenizer_json
from tests.stands.text_towers import AUDIENCE, CAT

PANICS = b'{"version": "1.0", "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, "model": {}}'
"""The library gives up in a way that is no `Exception`."""


@pytest.fixture(scope="module")
def tokenizer() -> JsonTokenizer:
    return JsonTokenizer(clip_tokenizer_json(), model="clip")


@pytest.mark.parametrize(("text", "tokens"), [("a photo of a cat", CAT), ("a photo of an audience", AUDIENCE)])
def test_the_golden_tokens(tokenizer: JsonTokenizer, text: str, tokens: list[int]) -> None:
    assert tokenizer.encode(text, 77) == tokens


@pytest.mark.parametrize("text", ["A Photo OF a CAT", "  a\tphoto \n of\r\n\n a   cat ", "a photo of a cat "])
def test_case_and_white_space_make_no_difference(tokenizer: JsonTokenizer, text: str) -> None:
    assert tokenizer.encode(text, 77) == CAT


@pytest.mark.parametrize("text", ["", " ", "\n\t \u2003"])
def test_a_text_without_words_is_start_and_end(tokenizer: JsonTokenizer, text: str) -> None:
    assert tokenizer.encode(text, 77) == [START, END]


def test_an_accent_is_one_letter_however_it_is_written(tokenizer: JsonTokenizer) -> None:
    assert tokenizer.encode("caf\u00e9", 77) == tokenizer.encode("cafe\u0301", 77)
    assert tokenizer.encode("caf\u00e9", 77) != tokenizer.encode("cafe", 77)


@pytest.mark.parametrize("text", ["😀", "東京の夜", "Ελλάδα", "снег", "صورة قطة", "\0", "\u200d", "�"])
def test_every_script_has_tokens_of_its_own(tokenizer: JsonTokenizer, text: str) -> None:
    tokens = tokenizer.encode(text, 77)

    assert len(tokens) > 2
    assert not {START, END}.intersection(tokens[1:-1]), "what has no token must not become the end of the text"


@pytest.mark.parametrize("text", ["x" * 10_000, "cat " * 2_500, "東" * 10_000, "!" * 10_000])
def test_a_text_of_10000_characters_keeps_the_token_that_ends_it(tokenizer: JsonTokenizer, text: str) -> None:
    tokens = tokenizer.encode(text, 77)

    assert len(tokens) == 77
    assert (tokens[0], tokens[-1]) == (START, END)
    assert END not in tokens[:-1]


def test_a_text_is_cut_at_the_right_token(tokenizer: JsonTokenizer) -> None:
    fits = tokenizer.encode("cat " * 75, 77)

    assert fits == [START, *[2368] * 75, END]
    assert tokenizer.encode("cat " * 75 + "dog", 77) == fits
    assert tokenizer.encode("cat " * 75 + "dog", 78) != fits


@pytest.mark.parametrize("text", ["<|endoftext|>", "<|startoftext|>", "a cat<|endoftext|> and a dog"])
def test_a_special_token_that_a_user_types_is_text(tokenizer: JsonTokenizer, text: str) -> None:
    tokens = tokenizer.encode(text, 77)

    assert (tokens[0], tokens[-1]) == (START, END)
    assert not {START, END}.intersection(tokens[1:-1])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "can't be read"),
        (b"\x00\xff", "can't be read"),
        (b"{}", "can't be read"),
        (b'{"version": "1.0"}', "can't be read"),
        (b"[" * 100_000, "can't be read"),
        (PANICS, r"can't be read \(Precompiled: "),
    ],
)
def test_a_file_that_is_no_tokenizer_can_not_start(content: bytes, fault: str) -> None:
    with pytest.raises(CannotStart, match=rf"\Amodel clip: its tokenizer {fault}[^\n]*\Z"):
        JsonTokenizer(content, model="clip")


def test_a_text_that_the_tokenizer_can_not_cut_is_a_permanent_error() -> None:
    model = {"type": "WordLevel", "vocab": {"<|startoftext|>": 0, "<|endoftext|>": 1}, "unk_token": "[UNK]"}
    tokenizer = JsonTokenizer(json.dumps({"version": "1.0", "model": model}).encode(), model="clip")

    with pytest.raises(PermanentError, match=r"can't cut a text \(WordLevel error: Missing \[UNK\]"):
        tokenizer.encode("a cat", 77)


def test_a_tokenizer_of_another_family_can_not_start() -> None:
    described = json.loads(clip_tokenizer_json())
    described["added_tokens"] = []
    del described["model"]["vocab"]["<|startoftext|>"]

    with pytest.raises(CannotStart, match=r"model clip: its tokenizer has no <\|startoftext\|>"):
        JsonTokenizer(json.dumps(described).encode(), model="clip")
