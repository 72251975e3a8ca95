"""Memory stays flat whatever sizes come; `make soak` is the long run."""

import sys
from pathlib import Path
from statistics import median

import pytest

from tests.stands.soak import BATCH, HIGHEST, SMALLEST, WIDEST, report, sizes, soak

PHOTOS, EVERY = 120, 10
MOST = 25.0
"""MB. From one look to the next a steady worker's memory differs by up to 40 (measured), medians of four by less."""

pytestmark = pytest.mark.flow


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory")
def test_a_worker_that_has_seen_every_size_grows_no_more(tmp_path: Path) -> None:
    """The long run's claim in short: what leaks a third of a megabyte with each photo fails here, less only there."""
    done = soak(tmp_path, PHOTOS, seed=1, batch=EVERY)
    looks = [seen.worker_rss for seen in done.memory]
    first, last = median(looks[3:7]), median(looks[-4:])
    assert last - first < MOST, report(done, EVERY, PHOTOS)
    assert all(seen.decoders == 1 for seen in done.memory), "decoders are few, and there"


def test_the_sizes_reach_from_the_smallest_to_the_largest() -> None:
    every = list(sizes(2000, 7))
    assert every == list(sizes(2000, 7))
    assert {(SMALLEST, SMALLEST), (WIDEST, HIGHEST), (WIDEST, SMALLEST), (SMALLEST, HIGHEST)} <= set(every[:BATCH])
    assert all(SMALLEST <= width <= WIDEST and SMALLEST <= height <= HIGHEST for width, height in every)
    assert len(set(every)) > 1500
