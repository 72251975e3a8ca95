"""The page about performance says what was measured."""

from benchmarks.__main__ import RESULTS
from benchmarks.catalog import BENCHMARKS
from benchmarks.performance_page import shown
from benchmarks.results import read_results, tables
from tests.stands.documents import document, table


def test_the_page_about_performance_shows_the_results_that_are_kept() -> None:
    results = read_results(RESULTS, list(BENCHMARKS))
    assert shown() == (tables(results) if results else "Not measured yet.")


def test_every_benchmark_is_explained() -> None:
    rows = table(document("docs/performance.md"), "benchmark", "what is measured", "against what")
    assert [name for name, *_ in rows] == list(BENCHMARKS)
    assert all(name == benchmark.name for name, benchmark in BENCHMARKS.items())
