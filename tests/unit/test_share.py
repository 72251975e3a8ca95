"""How a worker divides its cores."""

import pytest

from media_inference.processes.share import Share, share_of
from media_inference.settings import load_settings


@pytest.mark.parametrize(
    ("cores", "workers", "share"),
    [
        (1, 1, Share(passes=1, threads=1, alone=1, decoders=1)),
        (2, 1, Share(passes=2, threads=1, alone=2, decoders=2)),
        (4, 1, Share(passes=4, threads=1, alone=4, decoders=4)),
        (16, 1, Share(passes=4, threads=7, alone=7, decoders=16)),
        (8, 1, Share(passes=4, threads=3, alone=3, decoders=8)),
        (16, 2, Share(passes=4, threads=3, alone=3, decoders=8)),
        (16, 100, Share(passes=1, threads=1, alone=1, decoders=1)),
    ],
)
def test_passes_and_those_who_help_them_in_two_networks_are_at_most_as_many_as_cores(
    cores: int, workers: int, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("media_inference.processes.share.usable_cores", lambda: cores)
    given = share_of(load_settings(_env_file=None), workers)
    assert given == share
    assert given.passes + 2 * (given.threads - 1) <= max(1, cores // workers)


def test_the_threads_of_a_worker_can_be_set() -> None:
    assert share_of(load_settings(_env_file=None, worker_threads=6), 3) == Share(
        passes=4, threads=2, alone=2, decoders=6
    )
