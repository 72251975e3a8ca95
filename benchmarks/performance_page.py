"""The tables inside docs/performance.md, so that nobody writes them by hand."""

from pathlib import Path

from benchmarks.child import ROOT
from benchmarks.results import Json, tables

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def write_page(results: list[Json], page: Path = PAGE) -> None:
    """Puts the tables between the two marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{tables(results)}\n{END}{after}", encoding="utf-8")


def shown(page: Path = PAGE) -> str:
    """What stands between them."""
    return page.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip("\n")
