"""CLIP's tokenizer.json, written from the list of merges that OpenAI published and open_clip carries.

The pinned file can't be had everywhere. This one has the same vocabulary in the same order and the same steps, written
with the library that made the original.
"""

import gzip
import importlib.util
from functools import cache
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

START, END = 49406, 49407
WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
FIRST_MERGE, LAST_MERGE = 1, 49152 - 256 - 2
"""Lines of the list that belong to the vocabulary, below its heading."""


@cache
def clip_tokenizer_json() -> bytes:
    """The file's content; skips the test where the list of merges is not installed."""
    lines = gzip.decompress(_list_of_merges().read_bytes()).decode("utf-8").split("\n")
    merges = [(first, second) for first, second in map(str.split, lines[FIRST_MERGE : LAST_MERGE + 1])]
    letters = _byte_letters()
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(merge) for merge in merges)]
    vocabulary = {word: number for number, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    assert (vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"]) == (START, END)
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token="<|endoftext|>", end_of_word_suffix="</w>")
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.post_processor = processors.RobertaProcessing(
        ("<|endoftext|>", END), ("<|startoftext|>", START), trim_offsets=False, add_prefix_space=False
    )
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in ("<|startoftext|>", "<|endoftext|>")])
    # As exports do, with another length: what is right for the graph is not the file's to say.
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=77, pad_id=END, pad_token="<|endoftext|>")
    return str(tokenizer.to_str()).encode()


def _list_of_merges() -> Path:
    package = importlib.util.find_spec("open_clip")  # its data alone: the package itself needs PyTorch
    if package is None or package.origin is None:
        pytest.skip("open_clip, which carries CLIP's list of merges, is not installed")
    return Path(package.origin).with_name("bpe_simple_vocab_16e6.txt.gz")


def _byte_letters() -> list[str]:
    """The letters that stand for the 256 bytes, in the vocabulary's order: printable bytes first, as themselves."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = len([byte for byte in range(256) if byte not in printable])
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(others)]
