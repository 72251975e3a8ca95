"""The benchmarks' own arithmetic: turns, bars, tables."""

import json
from pathlib import Path

import pytest

from benchmarks.benchmark import Bar, Benchmark, Claim, Figure, Outcome
from benchmarks.machine import circumstances
from benchmarks.performance_page import BEGIN, END, shown, write_page
from benchmarks.results import number, read_results, tables, write_result
from benchmarks.turns import in_turns


def test_sides_take_turns_and_a_slow_minute_is_slow_for_both() -> None:
    order: list[str] = []
    speeds = iter([1.0, 0.1, 1.0])  # the machine in each turn
    now = {"speed": 1.0}

    def first() -> float:
        order.append("first")
        now["speed"] = next(speeds)
        return 20 * now["speed"]

    def second() -> float:
        order.append("second")
        return 10 * now["speed"]

    turns = in_turns({"first": first, "second": second}, 3)

    assert order == ["first", "second"] * 3
    assert turns.ratio("first", "second") == pytest.approx(2)
    assert turns.median("first") == 20
    assert [figure.samples for figure in turns.figures("x")] == [(20.0, 2.0, 20.0), (10.0, 1.0, 10.0)]


@pytest.mark.parametrize(
    ("bar", "good", "bad"), [(Bar("≥", 0.9), 0.9, 0.899), (Bar("≤", 1.15), 1.15, 1.16), (Bar("<", 3, "s"), 2.9, 3.0)]
)
def test_a_bar_holds_up_to_its_value_and_no_further(bar: Bar, good: float, bad: float) -> None:
    assert Claim("", good, bar).holds
    assert not Claim("", bad, bar).holds


def test_a_missed_bar_stands_out_in_the_table(tmp_path: Path) -> None:
    outcome = Outcome(
        figures=(Figure("ours", 12.0, "photos/s", (11.0, 12.0, 14.0)),),
        claims=(Claim("of the best", 0.5, Bar("≥", 0.9)), Claim("to start", 1.5, Bar("<", 3, "s"))),
        left_out=("somebody: not installed",),
    )
    benchmark = Benchmark("one", "One", lambda _bench: outcome)
    write_result(tmp_path, benchmark, outcome, circumstances())
    page = tmp_path / "performance.md"
    page.write_text(f"# Page\n\n{BEGIN}\nold\n{END}\n\nafter\n")

    results = read_results(tmp_path, ["one", "not measured"])
    write_page(results, page)

    assert [result["name"] for result in results] == ["one"]
    assert "| One: of the best | 0.5 | ≥ 0.9 | **no** |" in shown(page)
    assert "| One: to start | 1.5 | < 3 s | yes |" in shown(page)
    assert "| `one` | ours, photos/s | 12 | 11 | 14 |" in shown(page)
    assert "Left out: somebody: not installed" in shown(page)
    assert page.read_text().endswith(f"{END}\n\nafter\n")
    assert json.loads((tmp_path / "one.json").read_text())["circumstances"]["cores"] >= 1


@pytest.mark.parametrize(("value", "told"), [(1234567.8, "1,234,568"), (12.345, "12.3"), (0.01234, "0.0123")])
def test_numbers_are_told_with_the_digits_that_count(value: float, told: str) -> None:
    assert number(value) == told


def test_the_tables_of_no_results_are_empty_tables() -> None:
    assert tables([]).count("| --- | --- |\n") == 2
