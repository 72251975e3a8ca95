"""Plots say what the numbers say."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from benchmarks.drawing import draw, ticks

SVG = "{http://www.w3.org/2000/svg}"


def result(figures: list[dict[str, Any]], chart: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"title": "A <b> title", "figures": figures, "chart": chart}


def figure(name: str, value: float, unit: str = "photos/s", samples: tuple[float, ...] = ()) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "samples": list(samples)}


def test_bars_are_as_long_as_their_numbers_from_zero_on() -> None:
    shown = [figure("ours", 30.0, samples=(25.0, 30.0, 32.0)), figure("theirs", 15.0), figure("CPU", 99.0, "ms")]
    root = ET.fromstring(draw(result(shown)))  # noqa: S314  # our own
    bars = [float(rect.get("width", 0)) for rect in root.iter(f"{SVG}rect")][1:]
    assert len(bars) == 2, "of one unit"
    assert bars[0] == pytest.approx(2 * bars[1], rel=0.01)
    assert len(list(root.iter(f"{SVG}circle"))) == 3
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"ours", "theirs", "30", "15", "0", "A <b> title: photos/s"} <= set(texts)


def test_a_curve_rises_as_its_points_do() -> None:
    chart = {"across": "jobs", "up": "MB", "curves": [{"name": "w", "points": [[0, 0], [500, 50], [1000, 100]]}]}
    root = ET.fromstring(draw(result([], chart)))  # noqa: S314  # our own
    (line,) = root.iter(f"{SVG}polyline")
    (x0, y0), (x1, y1), (x2, y2) = [
        (float(x), float(y)) for x, y in (pair.split(",") for pair in str(line.get("points")).split())
    ]
    assert (x2 - x1, y2 - y1) == pytest.approx((x1 - x0, y1 - y0), abs=0.2)
    assert y2 < y0, "up is up"


@pytest.mark.parametrize("most", [0.0, 0.013, 1.0, 7.3, 99.9, 100.0, 12_345.0])
def test_an_axis_begins_at_zero_and_reaches_beyond_the_largest_number(most: float) -> None:
    steps = ticks(most)
    assert steps[0] == 0
    assert steps[-1] >= most
    assert 2 <= len(steps) <= 8
