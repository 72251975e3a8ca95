"""Measures, and writes what came out: ``python -m benchmarks [NAME …] [--quick]``, or `make bench`."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.benchmark import Benchmark, Outcome
from benchmarks.catalog import BENCHMARKS
from benchmarks.child import ROOT
from benchmarks.drawing import draw
from benchmarks.machine import circumstances
from benchmarks.performance_page import write_page
from benchmarks.results import number, read_results, tables, write_result
from benchmarks.scale import FULL, QUICK

RESULTS = ROOT / "benchmarks" / "results"
QUICK_RESULTS = ROOT / ".make" / "bench-quick"
STORE, PEERS_PYTHON = ROOT / ".make" / "bench", ROOT / ".make" / "peers" / "bin" / "python"


def main() -> int:
    """Exit code 1 when a bar is missed; quick runs are too short to tell, and never are."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    out = asked.out or (QUICK_RESULTS if asked.quick else RESULTS)
    missed = False
    STORE.mkdir(parents=True, exist_ok=True)
    for name in asked.names or BENCHMARKS:
        with tempfile.TemporaryDirectory(dir=STORE, prefix="run-") as folder:
            bench = Bench(QUICK if asked.quick else FULL, Path(folder), STORE, PEERS_PYTHON)
            outcome = run(BENCHMARKS[name], bench, out)
        missed |= not all(claim.holds for claim in outcome.claims)
    write_pages(out)
    return int(missed and not asked.quick)


def run(benchmark: Benchmark, bench: Bench, out: Path) -> Outcome:
    """Measures one, says what came out, and writes it to ``out``."""
    at = circumstances()
    _say(f"{benchmark.title}  (load {at.load:g})")
    outcome = benchmark.measure(bench)
    for figure in outcome.figures:
        _say(f"    {number(figure.value):>10} {figure.unit:<10} {figure.name}")
    for claim in outcome.claims:
        verdict = "holds" if claim.holds else "MISSED"
        _say(f"  {number(claim.value):>12} {claim.what}: {claim.bar} {verdict}")
    for told in (*outcome.notes, *outcome.left_out):
        _say(f"    {told}")
    write_result(out, benchmark, outcome, at)
    return outcome


def write_pages(out: Path) -> None:
    """All results in ``out`` as plots and Markdown, beside them; of full runs on the page about performance too."""
    results = read_results(out, list(BENCHMARKS))
    for result in results:
        (out / f"{result['name']}.svg").write_text(draw(result), encoding="utf-8")
    plots = "\n\n".join(f"![{result['title']}]({result['name']}.svg)" for result in results)
    (out / "README.md").write_text(f"# Results\n\n{tables(results)}\n\n{plots}\n", encoding="utf-8")
    if out == RESULTS:
        write_page(results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(BENCHMARKS)}; all without any")
    parser.add_argument("--quick", action="store_true", help="short turns, to see that it works")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in BENCHMARKS]:
        parser.error(f"expected some of {', '.join(BENCHMARKS)}, got {' '.join(unknown)}")
    return asked


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # the result


if __name__ == "__main__":
    sys.exit(main())
