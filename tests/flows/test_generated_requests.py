"""Thousands of requests, valid and not, generated from the service's own description of itself by schemathesis."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stands.documents import ROOT
from tests.stands.running_service import RunningService, running_service
from tests.storms.photos import photos

pytestmark = [pytest.mark.flow, pytest.mark.timeout(500)]

CASES = 5_000
"""Of each of two seeds."""
OPERATIONS = 18


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Iterator[RunningService]:
    """`up` with a worker, the built-in store and real jobs."""
    with running_service(tmp_path_factory.mktemp("generated")) as service:
        yield service


@pytest.fixture(scope="module")
def job_ids(service: RunningService, shared: Path) -> list[str]:
    """A finished job of each task, on a photo of two people."""
    photo = service.data / "two.jpg"
    photo.write_bytes(photos(shared)["two"].content)
    media_store_id = service.add_media(photo)
    made = [service.submit(task, media_store_id) for task in ("face_detection", "image_embedding", "face_embedding")]
    assert [service.finished(job_id)["status"] for job_id in made] == ["completed"] * 3
    return made


@pytest.mark.parametrize("seed", [1, 2])
def test_no_generated_request_ends_in_a_5xx_or_another_answer_than_described(
    service: RunningService, job_ids: list[str], seed: int, tmp_path: Path
) -> None:
    report = run_schemathesis(service, job_ids, tmp_path, "--seed", str(seed), "--max-examples", "530")
    cases = report["test_cases"]
    print(f"{cases['generated']} cases with seed {seed} in {report['running_time']:.0f} s")  # noqa: T201  # a figure to report
    assert report["failures"] == report["errors"] == []
    assert report["operations"]["tested"] == OPERATIONS
    assert {phase: what["status"] for phase, what in report["phases"].items()} == dict.fromkeys(
        ("examples", "coverage", "fuzzing", "stateful"), "success"
    )
    assert cases["generated"] >= CASES
    assert service.process.poll() is None
    log = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    assert [line for line in log if line["level"] == "error"] == []
    answered = [line for line in log if line.get("action") == "http_request"]
    statuses = {line["status"] for line in answered}
    assert {200, 201, 204, 401, 404, 405, 415, 422} <= statuses  # it came past the door, and to the end


def run_schemathesis(
    service: RunningService,
    job_ids: list[str],
    folder: Path,
    *options: str,
) -> dict[str, Any]:
    """All phases, with every check and those of `tests/stands/generated_requests.py`; its report."""
    report = folder / "report.json"
    told = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(ROOT / "tests/stands/schemathesis.toml")),
            *("run", f"{service.url}/openapi.json", "--report", "json", "--report-json-path", str(report), *options),
        ],
        cwd=folder,
        env={name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        | {
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.stands.generated_requests",
            "GENERATED_TOKEN": service.token,
            "GENERATED_JOB_IDS": " ".join(job_ids),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    print(re.sub(r"(.{400}).*", r"\1 …", told.stdout[-20_000:]), told.stderr[-2_000:])  # noqa: T201  # shown when it fails
    assert told.returncode == 0, told.stdout[-3_000:] + told.stderr[-3_000:]
    return dict(json.loads(report.read_text()))
