"""What was measured, as a JSON file per benchmark, and all of it as one table."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.benchmark import Benchmark, Outcome
from benchmarks.machine import Circumstances

Json = dict[str, Any]


def write_result(folder: Path, benchmark: Benchmark, outcome: Outcome, at: Circumstances) -> None:
    """One benchmark, as it came out."""
    claims = [asdict(claim) | {"bar": str(claim.bar), "holds": claim.holds} for claim in outcome.claims]
    result = {"name": benchmark.name, "title": benchmark.title} | asdict(outcome) | {"claims": claims}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result | {"circumstances": asdict(at)}, indent=1, ensure_ascii=False)
    (folder / f"{benchmark.name}.json").write_text(text + "\n")


def read_results(folder: Path, names: list[str]) -> list[Json]:
    """Those that are there, in this order."""
    paths = [folder / f"{name}.json" for name in names]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def tables(results: list[Json]) -> str:
    """Markdown: what was promised and how it is, then every figure, then on what and when."""
    return "\n".join([*_claims(results), "", *_figures(results), "", *_circumstances(results)])


def _claims(results: list[Json]) -> Iterator[str]:
    yield "| what | measured | bar | holds |"
    yield "| --- | --- | --- | --- |"
    for result in results:
        for claim in result["claims"]:
            holds = "yes" if claim["holds"] else "**no**"
            yield f"| {result['title']}: {claim['what']} | {number(claim['value'])} | {claim['bar']} | {holds} |"


def _figures(results: list[Json]) -> Iterator[str]:
    yield "| benchmark | figure | median | from | to |"
    yield "| --- | --- | --- | --- | --- |"
    for result in results:
        for figure in result["figures"]:
            samples = figure["samples"] or [figure["value"]]
            cells = [number(value) for value in (figure["value"], min(samples), max(samples))]
            yield f"| `{result['name']}` | {figure['name']}, {figure['unit']} | {' | '.join(cells)} |"


def _circumstances(results: list[Json]) -> Iterator[str]:
    for result in results:
        at = result["circumstances"]
        yield (
            f"* `{result['name']}`: {at['at']}, commit {at['commit']}, {at['processor']}, {at['cores']} cores, "
            f"load {at['load']:g}."
        )
        for told in (*result["notes"], *(f"Left out: {reason}" for reason in result["left_out"])):
            yield f"  {told}"


def number(value: float) -> str:
    """Three digits that count, and all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
