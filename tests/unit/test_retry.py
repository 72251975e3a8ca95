"""Delays between attempts."""

from hypothesis import given
from hypothesis import strategies as st

from media_inference.jobs.retry import Backoff


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(first=1.0, longest=10.0)
    assert [backoff.delay(failures, chance=1.0) for failures in (1, 2, 3, 4, 5, 6)] == [1, 2, 4, 8, 10, 10]


@given(failures=st.integers(1, 10**9), chance=st.floats(0, 1, exclude_max=True))
def test_a_delay_is_finite_and_at_least_half_of_the_whole(failures: int, chance: float) -> None:
    backoff = Backoff()
    whole = backoff.delay(failures, chance=1.0)
    assert 0 < whole / 2 <= backoff.delay(failures, chance) <= whole <= backoff.longest
