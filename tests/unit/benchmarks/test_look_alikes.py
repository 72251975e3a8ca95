"""What a quantised model is measured with."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.look_alikes import LONGEST, look_alikes
from benchmarks.rows.int8 import NEIGHBOURS, recall
from media_inference.models.pixels import unit
from tests.stands.pictures import noise, picture


def photo(path: Path, seed: int) -> Path:
    Image.fromarray(noise(48, 64, seed)).save(path)
    return path


def test_look_alikes_begin_with_the_photos_and_are_the_same_each_time(tmp_path: Path) -> None:
    photos = [photo(tmp_path / f"{seed}.png", seed) for seed in range(3)]

    made = look_alikes(photos, 8)

    assert len(made) == 8
    for path, first in zip(photos, made, strict=False):
        np.testing.assert_array_equal(first, picture(path))
    assert len({one.tobytes() for one in made}) == 8
    for one, again in zip(made, look_alikes(photos, 8), strict=True):
        np.testing.assert_array_equal(one, again)


def test_large_photos_are_made_small(tmp_path: Path) -> None:
    Image.new("RGB", (3 * LONGEST, LONGEST)).save(tmp_path / "wide.png")

    (made,) = look_alikes([tmp_path / "wide.png"], 1)

    assert made.shape[1] == LONGEST


@pytest.mark.parametrize(("turned", "share"), [(0, 1.0), (NEIGHBOURS // 2, 0.5), (NEIGHBOURS, 0.0)])
def test_recall_is_the_share_of_neighbours_that_stay(turned: int, share: float) -> None:
    """Points on a circle, seen from the first one; those behind it change places with the next ones."""
    angles = np.linspace(0, 1, 2 * NEIGHBOURS + 1)
    order = np.arange(len(angles))
    near, far = slice(1, 1 + turned), slice(1 + NEIGHBOURS, 1 + NEIGHBOURS + turned)
    order[near], order[far] = order[far].copy(), order[near].copy()

    def vectors(of: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        return unit(np.stack([np.cos(of), np.sin(of)], axis=1).astype(np.float32))

    assert recall(vectors(angles), vectors(angles[order]), rows=1) == pytest.approx(share)
