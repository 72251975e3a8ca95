"""Workers are killed, or stopped until their lease is lost and then let loose again, while thousands of jobs run."""

import itertools
import random
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.jobs.job import JobStatus
from media_inference.queue.tables import jobs
from media_inference.tasks.catalog import TASKS
from tests.stands.running_service import until
from tests.storms.ledger import Ledger, Verdict
from tests.storms.photos import Photo
from tests.storms.service import StormService, storm_service
from tests.storms.size import Size
from tests.storms.strikes import Striker

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1800)]

WORKERS = ("worker-1", "worker-2", "worker-3", "worker-4")
A_FEW_WORKERS = WORKERS[:2]


def test_no_job_is_lost_or_doubled_by_workers_that_are_killed_or_come_back_from_the_dead(
    tmp_path: Path, known_photos: Mapping[str, Photo], size: Size, seed: int
) -> None:
    items, faults, workers = size.of((12, 4, A_FEW_WORKERS), (667, 200, WORKERS))
    verdict = storm(tmp_path, known_photos, seed, items=items, faults=faults, workers=workers, broken=size.broken)
    verdict.keep()
    assert verdict.clean, verdict


def storm(
    folder: Path,
    known_photos: Mapping[str, Photo],
    seed: int,
    *,
    items: int,
    faults: int,
    workers: Sequence[str] = A_FEW_WORKERS,
    broken: str | None = None,
) -> Verdict:
    """Every task on every one of ``items``; a fault, of which one in four is a stop, after each share of the jobs."""
    ledger, begun = Ledger("kill", seed), time.monotonic()
    with storm_service(folder, ledger, known_photos, broken=broken) as service:
        service.start("serve", *workers)
        striker = Striker(service, random.Random(seed))  # noqa: S311  # not a secret
        struck = threading.Event()
        client = threading.Thread(target=submit_all, args=(service, items, struck, random.Random(seed)))  # noqa: S311
        client.start()
        strike_all(striker, faults, items * len(TASKS))
        struck.set()
        client.join()
        service.wait_until_done(300)
        assert set(service.stop().values()) == {0}
        end = service.end_state()
        found_by_audit = service.audit({"files_staged"})
    crashes = sum(row["crashes"] for row in end.jobs.values())
    zombies = sum(line.get("action") == "dropped" for line in end.log)
    verdict = ledger.judge(
        end,
        kills=striker.kills,
        stops=striker.stops,
        duels=striker.duels,
        zombies_turned_away=zombies,
        seconds=round(time.monotonic() - begun),
    )
    verdict.unexpected += found_by_audit
    strikes = striker.kills + striker.stops + striker.duels  # the second of a duel is stopped too, if not for long
    if crashes > strikes:
        verdict.unexpected.append(f"{crashes} crashes were charged for {strikes} strikes")
    return verdict


def submit_all(service: StormService, items: int, struck: threading.Event, chance: random.Random) -> None:
    """Every task on each of ``items`` media items, in any order; then on more, until all strikes are done.

    Not too many at once: a job that crashed goes to the end of the queue, and is to be claimed while its zombie lives.
    """
    for number in itertools.count():
        if number >= items and struck.is_set():
            return
        until(service.unfinished, lambda waiting: waiting < 12, patience=600)
        photo = chance.choice(("two", "one", "none"))
        media_id = service.media(photo)
        for task_type in chance.sample(sorted(TASKS), len(TASKS)):
            service.submit(task_type, media_id, photo)


def strike_all(striker: Striker, faults: int, expected_jobs: int) -> None:
    """One strike for each share of the jobs that has ended; every fourth is a stop."""
    ended = sa.select(sa.func.count()).where(jobs.c.status.in_([JobStatus.COMPLETED, JobStatus.FAILED]))
    kills = [number % 4 != 3 for number in range(faults)]
    striker.chance.shuffle(kills)

    def strike_when_due() -> bool:
        duels, struck = striker.look(), striker.kills + striker.stops
        if struck < faults and striker.service.count(ended) * faults >= struck * expected_jobs:
            striker.strike(kill=kills[struck])
        return struck == faults and not duels

    until(strike_when_due, bool, patience=1500)
