"""`make bench` at its smallest: everything runs, the numbers mean nothing."""

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import run, write_pages
from benchmarks.bench import Bench
from benchmarks.catalog import BENCHMARKS
from benchmarks.scale import TINY

pytestmark = pytest.mark.flow


@pytest.mark.parametrize(
    ("name", "figures", "left_out"),
    [
        ("queue_alone", {"ours, 8 at once", "ours, one by one"}, ["huey on SQLite", "procrastinate on PostgreSQL"]),
        ("memory", {"growth per 1,000 jobs", "worker at the end"}, []),
        ("int8", {"of the 10 nearest pictures, the same ones", "CPU time, int8 to full"}, []),
    ],
)
def test_a_benchmark_measures_what_is_there_and_says_what_is_not(
    tmp_path: Path, name: str, figures: set[str], left_out: list[str]
) -> None:
    folder, out = tmp_path / "run", tmp_path / "results"
    folder.mkdir()

    run(BENCHMARKS[name], Bench(TINY, folder, tmp_path, tmp_path / "no-peers" / "python"), out)
    write_pages(out)

    result = json.loads((out / f"{name}.json").read_text())
    told = {figure["name"]: figure["value"] for figure in result["figures"]}
    assert figures <= set(told)
    assert all(told[figure] > 0 for figure in figures if "growth" not in figure)
    assert [reason.partition(":")[0] for reason in result["left_out"]] == left_out
    assert result["circumstances"]["versions"]["onnxruntime"]
    assert (out / f"{name}.svg").read_text().startswith("<svg")
    assert f"`{name}`" in (out / "README.md").read_text()
