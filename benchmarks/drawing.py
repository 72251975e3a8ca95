"""A result as a picture: bars with a dot per turn, or curves. SVG by hand, for nothing else would be needed for it."""

from collections.abc import Iterator, Sequence
from html import escape
from math import floor, log10
from typing import Any

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 800, 300, 90, 46, 44
ROW, BAR, HEIGHT = 30, 18, 320
COLOURS = ("#1f6feb", "#8250df", "#bf3989", "#9a6700", "#1a7f37")
OTHERS = "#afb8c1"

Json = dict[str, Any]


def draw(result: Json) -> str:
    """The SVG of one result. All axes begin at zero."""
    chart = result["chart"]
    return _curves(result["title"], chart) if chart else _bars(result["title"], result["figures"])


def ticks(most: float, about: int = 5) -> list[float]:
    """Round numbers from 0 to just above ``most``, a step of 1, 2 or 5 times a power of ten apart."""
    rough = max(most, 1e-9) / about
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    count = int(-(-most // step)) or 1
    return [round(step * index, 10) for index in range(count + 1)]


def _bars(title: str, figures: Sequence[Json]) -> str:
    """Those figures that share the unit of the first; the first bar is ours."""
    shown = [figure for figure in figures if figure["unit"] == figures[0]["unit"]]
    steps = ticks(max(max([figure["value"], *figure["samples"]]) for figure in shown))
    bottom = TOP + ROW * len(shown)

    def across(value: float) -> float:
        return LEFT + value / steps[-1] * (WIDTH - LEFT - RIGHT)

    parts = [*_grid([(across(step), step) for step in steps], bottom)]
    for row, figure in enumerate(shown):
        parts += _bar(figure, TOP + ROW * row + (ROW - BAR) / 2, across, COLOURS[0] if row == 0 else OTHERS)
    return _page(f"{title}: {figures[0]['unit']}", bottom + BOTTOM, parts)


def _bar(figure: Json, y: float, across: Any, colour: str) -> Iterator[str]:
    middle, end = y + BAR / 2, across(figure["value"])
    yield _text(LEFT - 8, middle, figure["name"], anchor="end")
    yield f'<rect x="{LEFT}" y="{y:g}" width="{end - LEFT:.1f}" height="{BAR}" fill="{colour}"/>'
    for sample in figure["samples"]:
        yield f'<circle cx="{across(sample):.1f}" cy="{middle:g}" r="2.5" fill="#24292f" fill-opacity="0.55"/>'
    yield _text(max([end, *map(across, figure["samples"])]) + 8, middle, _told(figure["value"]), weight="600")


def _curves(title: str, chart: Json) -> str:
    points = [point for curve in chart["curves"] for point in curve["points"]]
    wide, high = (ticks(max(point[axis] for point in points)) for axis in (0, 1))
    left, bottom = 70, TOP + HEIGHT

    def place(point: Sequence[float]) -> tuple[float, float]:
        return left + point[0] / wide[-1] * (WIDTH - left - 30), bottom - point[1] / high[-1] * HEIGHT

    parts = [*_grid([(place((step, 0))[0], step) for step in wide], bottom)]
    for step in high:
        y = place((0, step))[1]
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{WIDTH - 30}" y2="{y:.1f}" stroke="#d0d7de"/>')
        parts.append(_text(left - 8, y, _told(step), anchor="end"))
    for number, curve in enumerate(chart["curves"]):
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, curve["points"]))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[number % 5]}" stroke-width="2"/>')
    parts.append(_text((left + WIDTH) / 2, bottom + 34, chart["across"], anchor="middle"))
    return _page(f"{title}: {chart['up']}", bottom + BOTTOM, parts)


def _grid(steps: Sequence[tuple[float, float]], bottom: float) -> Iterator[str]:
    for x, step in steps:
        yield f'<line x1="{x:.1f}" y1="{TOP - 4}" x2="{x:.1f}" y2="{bottom}" stroke="#d0d7de"/>'
        yield _text(x, bottom + 16, _told(step), anchor="middle")


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "400", size: int = 13) -> str:
    style = f'text-anchor="{anchor}" font-weight="{weight}" font-size="{size}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" dominant-baseline="middle" {style}>{escape(text)}</text>'


def _told(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _page(title: str, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" '
        'font-family="system-ui, sans-serif" fill="#24292f">'
    )
    background = f'<rect width="{WIDTH}" height="{height:g}" fill="#ffffff"/>'
    return "\n".join([head, background, _text(16, 22, title, weight="600", size=15), *parts, "</svg>"]) + "\n"
