"""Backups of a service at work: what was acknowledged before one began is in it, and a restored service goes on."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from media_inference.jobs.event import EventType
from media_inference.tasks.catalog import TASKS
from tests.stands.running_service import until
from tests.storms.end_state import Row, charged
from tests.storms.ledger import Ledger, Verdict
from tests.storms.load import Load
from tests.storms.photos import Photo
from tests.storms.service import NOBODY_DIES, StormService, storm_service
from tests.storms.size import Size

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1800)]


def test_a_backup_has_all_that_was_acknowledged_before_it_and_a_restored_service_goes_on(
    tmp_path: Path, known_photos: Mapping[str, Photo], size: Size
) -> None:
    verdict = storm(tmp_path, known_photos, size.seeds[0], backups=size.of(1, 20), broken=size.broken)
    verdict.keep()
    assert verdict.clean, verdict


def storm(
    folder: Path, known_photos: Mapping[str, Photo], seed: int, *, backups: int, broken: str | None = None
) -> Verdict:
    """Each of the ``backups`` while a client posts, each restored elsewhere, where its jobs come to their ends."""
    ledger, chance, begun = Ledger("backup", seed), random.Random(seed), time.monotonic()  # noqa: S311  # not a secret
    verdicts = []
    with storm_service(folder / "first", ledger, known_photos, broken=broken) as service:
        service.start("up")
        for number in range(backups):
            restored = Ledger("backup", seed)
            with Load(service, chance, most_waiting=6) as load:
                until(partial(is_at_work, load, service), bool)
                before = set(ledger.jobs())
                command(service, "backup", str(folder / f"backup-{number}"))
            command(service, "restore", str(folder / f"backup-{number}"), "--into", str(folder / f"{number}" / "data"))
            for job_id, asked in ledger.asked().items():
                if job_id in before:
                    restored.acknowledge(job_id, asked.task_type, asked.media_store_id, asked.answer)
                else:
                    restored.unanswered(asked.task_type, asked.media_store_id, asked.answer)
            verdicts.append(go_on(folder / f"{number}", restored, known_photos))
        service.wait_until_done(120)
        assert set(service.stop().values()) == {0}
        first = ledger.judge(service.end_state())
    return together(first, verdicts, backups=backups, seconds=round(time.monotonic() - begun))


def is_at_work(load: Load, service: StormService) -> bool:
    """Whether jobs were posted by this client, and one of them, or of an earlier one, is running."""
    return load.posted > len(TASKS) and service.running() > 0


def go_on(home: Path, ledger: Ledger, known_photos: Mapping[str, Photo]) -> Verdict:
    """The verdict on a service that was restored and has ended all of its jobs."""
    with storm_service(home, ledger, known_photos, settings=NOBODY_DIES) as service:
        service.start("up")
        service.wait_until_done(120)
        assert set(service.stop().values()) == {0}
        found = json.loads(command(service, "audit", "--json", good=(0, 1)))["findings"]
        end = service.end_state()
    verdict = ledger.judge(replace(end, events=last_lives(end.events)))
    verdict.unexpected += [f"the audit found {finding['kind']}: {finding['id']}" for finding in found]
    verdict.unexpected += charged(end)
    return verdict


def command(service: StormService, *arguments: str, good: Collection[int] = (0,)) -> str:
    """What a command of the service's operator prints."""
    done = subprocess.run(
        [sys.executable, "-m", "media_inference", *arguments],
        cwd=service.folder,
        env=service.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in good, done.stderr
    return done.stdout


def last_lives(events: Sequence[Row]) -> list[Row]:
    """The events of every job from its last `queued` on: what was at work when it was backed up begins anew."""
    begins = {event["job_id"]: event["event_id"] for event in events if event["type"] == EventType.QUEUED}
    return [event for event in events if event["event_id"] >= begins.get(event["job_id"], 0)]


def together(first: Verdict, restored: Sequence[Verdict], **figures: int) -> Verdict:
    """One verdict on all services."""
    recovered = sum(verdict.acknowledged for verdict in restored)
    sums = replace(first, figures={**figures, "acknowledged_before_a_backup": recovered})
    for number, verdict in enumerate(restored):
        sums.lost += [f"backup {number}: {line}" for line in verdict.lost]
        sums.unexpected += [f"backup {number}: {line}" for line in verdict.unexpected]
        sums.duplicated += [f"backup {number}: {line}" for line in verdict.duplicated]
    return sums
