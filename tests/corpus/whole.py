"""All bad files there are."""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from tests.corpus.bombs import bombs
from tests.corpus.case import BadFile
from tests.corpus.damaged import mutated, truncated
from tests.corpus.disguises import disguises
from tests.corpus.good import good_files
from tests.corpus.lies import headers

MUTATIONS = 1000


def corpus(formats: Path | None, seed: int, mutations: int = MUTATIONS) -> Iterator[BadFile]:
    """Every bad file, made when it is its turn; the same ones in each run, but for the mutations of the ``seed``."""
    good = good_files(formats)
    return chain(truncated(good), mutated(good, seed, mutations), headers(), bombs(), disguises())


def sample(formats: Path | None, seed: int, *, share: int) -> Iterator[BadFile]:
    """The quick ones of every kind, of those kinds that are many one in ``share``."""
    good = good_files(formats)
    many = chain(truncated(good), mutated(good, seed, MUTATIONS), headers())
    quick = (case for case in many if not case.heavy)
    return chain(islice(quick, 0, None, share), (case for case in chain(bombs(), disguises()) if not case.heavy))
