"""Thousands of bad files, each of which ends in a documented code or in a picture of the right size."""

import gc
import os
import sys
from contextlib import closing
from pathlib import Path

import pytest

from media_inference.errors import PermanentError
from media_inference.media.decoder import Decoder
from media_inference.media.sandbox.protocol import Limits
from media_inference.media.sandbox.spare_memory import give_back
from tests.corpus.case import BadFile
from tests.corpus.damaged import mutated
from tests.corpus.good import generated, good_files
from tests.corpus.stated_sizes import stated_sizes
from tests.corpus.trial import Trial, Verdict, resident_bytes
from tests.corpus.whole import corpus, sample

pytestmark = pytest.mark.slow

SEED = 1
KINDS = {"truncation", "mutation", "header", "bomb", "refused format", "nothing", "polyglot", "wrong head"}
FORGIVEN = 50 * 1024 * 1024
LONG_LIVED = Limits(pictures=100_000)
"""A child that is never replaced, so that what it does not give back would add up."""


def test_a_part_of_the_corpus_ends_as_it_must(shared: Path) -> None:
    verdict = Verdict()
    with closing(Decoder()) as decoder:
        Trial(decoder).run(sample(shared / "formats", SEED, share=6), verdict)
    assert verdict.wrong == []
    assert set(verdict.kinds) == KINDS


@pytest.mark.flow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_whole_corpus_ends_as_it_must_and_gives_its_memory_back(shared: Path) -> None:
    """Without a crash, though `decoder_crashed` is documented too: none of these files is known to bring one about.

    In one thread, because the C library keeps memory for each.
    """
    verdict = Verdict()
    with closing(Decoder(limits=LONG_LIVED)) as decoder:
        trial = Trial(decoder)
        before = _settled_memory(decoder, shared)
        trial.run(corpus(shared / "formats", SEED), verdict)
        after = _settled_memory(decoder, shared)
    _judge(verdict)
    assert after.keys() == before.keys(), "the child died"
    grown = {pid: (after[pid] - before[pid]) >> 20 for pid in before}
    assert max(grown.values()) << 20 < FORGIVEN, f"MiB more than before, of this process and the child: {grown}"


def _judge(verdict: Verdict) -> None:
    print(f"{len(verdict.seconds)} files: {dict(verdict.kinds)}, {dict(verdict.endings)}")  # noqa: T201  # figures
    print(f"p99 {verdict.slowest_but_one_percent:.2f} s, slowest {max(verdict.seconds):.2f} s")  # noqa: T201  # 〃
    assert verdict.wrong == []
    assert len(verdict.seconds) >= 1500
    assert verdict.kinds["mutation"] >= 1000
    assert set(verdict.kinds) == KINDS
    assert verdict.names.most_common(1)[0][1] == 1, "two files of one name"
    assert verdict.slowest_but_one_percent < 2


def _settled_memory(decoder: Decoder, shared: Path) -> dict[int, int]:
    """Bytes of this process and the child, by process id, of which only what is still held counts.

    A large picture first, because what a child keeps for the next of a common size is no leak; then a refused one,
    after which a child hands back what is free. This process does so too: it made all those files.
    """
    decoder.decode((shared / "formats" / "pug.heic").read_bytes())
    with pytest.raises(PermanentError):
        decoder.decode(b"no picture")
    gc.collect()
    give_back()
    return {pid: resident_bytes(pid) for pid in (os.getpid(), *decoder.pids)}


def test_the_same_seed_makes_the_same_files() -> None:
    def some(seed: int) -> list[BadFile]:
        return list(mutated(generated(), seed, 200))

    assert some(SEED) == some(SEED) != some(SEED + 1)


def test_good_files_state_their_sizes_and_decode_to_them(shared: Path) -> None:
    """The reader of sizes that damaged files are held to is right about whole ones, and names few others."""
    with closing(Decoder()) as decoder:
        for name, content in good_files(shared / "formats").items():
            picture, stated = decoder.decode(content), stated_sizes(content)
            assert (picture.full_width, picture.full_height) in stated, name
            assert len(stated) < 40, name
