"""What counts as growth of a worker's memory."""

import random

import pytest

from benchmarks.rows.memory import growth, growth_by_least_squares


def looks(per_thousand: float, *, spikes: int = 0) -> list[tuple[float, float]]:
    """40 looks at 20,000 jobs; some of them see 60 MB more."""
    chance = random.Random(1)  # noqa: S311  # not a secret
    high = chance.sample(range(40), spikes)
    return [
        (500.0 * (look + 1), 300 + per_thousand * look / 2 + (60 if look in high else chance.uniform(0, 4)))
        for look in range(40)
    ]


@pytest.mark.parametrize("per_thousand", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("spikes", [0, 6])
def test_growth_is_seen_whatever_a_few_looks_see(per_thousand: float, spikes: int) -> None:
    assert growth(looks(per_thousand, spikes=spikes)) == pytest.approx(per_thousand, abs=0.2)


def test_two_looks_near_the_end_make_a_line_of_least_squares_rise() -> None:
    points = looks(0.0)
    points[-3:-1] = [(jobs, mb + 60) for jobs, mb in points[-3:-1]]
    assert growth_by_least_squares(points) > 1
    assert growth(points) < 0.2


def test_the_first_fifth_does_not_count() -> None:
    points = looks(0.0)
    points[:8] = [(jobs, 100 + jobs / 50) for jobs, _ in points[:8]]
    assert abs(growth(points)) < 0.2


def test_one_look_is_no_growth() -> None:
    assert growth([(500.0, 300.0)]) == growth_by_least_squares([(500.0, 300.0)]) == 0.0
