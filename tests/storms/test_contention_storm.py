"""Many processes want the database at once, and one keeps the write lock for seconds: all of them wait, none fails."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.storms.end_state import EndState, charged
from tests.storms.ledger import Ledger, Verdict
from tests.storms.photos import Photo
from tests.storms.service import NOBODY_DIES, StormService, storm_service
from tests.storms.size import Size

pytestmark = [pytest.mark.storm, pytest.mark.timeout(600)]

ITEMS = {"two-faces": "two", "one-face": "one", "no-face": "none"}
TROUBLE = ("locked", "database_error", "beat_failed", "not_recorded", "relay.", "the database")


def test_nobody_hears_of_a_locked_database(tmp_path: Path, known_photos: Mapping[str, Photo], size: Size) -> None:
    seconds, workers, others = size.of((6.0, 1, 1), (60.0, 2, 2))
    verdict = storm(tmp_path, known_photos, seconds, workers=workers, others=others, broken=size.broken)
    verdict.keep()
    assert verdict.clean, verdict


def storm(
    folder: Path,
    known_photos: Mapping[str, Photo],
    seconds: float,
    *,
    workers: int,
    others: int,
    broken: str | None = None,
) -> Verdict:
    """`serve`, a supervisor with ``workers``, ``others`` of two more kinds, and the one who keeps the lock."""
    ledger = Ledger("contention")
    with storm_service(folder, ledger, known_photos, settings=NOBODY_DIES, broken=broken) as service:
        service.start("serve", "worker", workers=workers)
        items = {service.media(photo, item): photo for item, photo in ITEMS.items()}
        told = contend(service, seconds, others, list(items))
        for line in told:
            if "posted" in line:
                photo = known_photos[items[line["media_store_id"]]]
                ledger.acknowledge(line["posted"], line["task_type"], line["media_store_id"], photo)
        service.wait_until_done(120)
        assert set(service.stop().values()) == {0}
        end = service.end_state()
    verdict = ledger.judge(end, processes=2 + workers + 2 * others, seconds=round(seconds), **figures(told))
    verdict.unexpected += [line["error"] for line in told if "error" in line]
    verdict.unexpected += list(trouble(end))
    return verdict


def contend(service: StormService, seconds: float, others: int, items: Sequence[str]) -> list[dict[str, Any]]:
    """What all of them told."""
    database = service.engine.url.database or ""
    commands = [["hold", database, str(seconds)]]
    for _ in range(others):
        commands.append(["churn", f"sqlite:///{database}", str(seconds)])
        commands.append(["post", service.url, str(seconds), *items])
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.storms.contender", *command],
            cwd=service.folder,
            env=dict(service.environment),
            stdout=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    outputs = [process.communicate(timeout=seconds + 120)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(running)
    return [json.loads(line) for output in outputs for line in output.splitlines()]


def figures(told: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How often the lock was kept, and what was done meanwhile."""
    counts: Counter[str] = Counter()
    for line in told:
        if line.get("done") == "post":
            counts["slowest_answer_ms"] = max(counts["slowest_answer_ms"], line["slowest_ms"])
        elif "done" in line:
            counts[{"hold": "lock_kept", "churn": "claims_given_back"}[line["done"]]] += line["times"]
    return dict(counts)


def trouble(end: EndState) -> Iterator[str]:
    """What the service's log says of the database, and jobs that were charged for it."""
    for line in end.log:
        text = json.dumps(line)
        if line.get("level") in {"warning", "error"} and any(word in text for word in TROUBLE):
            yield f"the log says: {text}"
    yield from charged(end)
