"""Each disk of a service at work is filled to the last byte and emptied again: nothing is lost, nobody is charged."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from media_inference.failpoints import Failpoint
from media_inference.jobs.job import JobStatus
from media_inference.queue.tables import jobs, outages
from media_inference.tasks.catalog import TASKS
from tests.stands.running_service import until
from tests.stands.small_disk import SmallDisk, small_disk
from tests.storms.end_state import charged
from tests.storms.faults import Action, Fault
from tests.storms.ledger import Ledger, Verdict
from tests.storms.photos import Photo
from tests.storms.service import StormService, storm_service
from tests.storms.size import Size

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1800)]

PLACES = {"database": "data", "files": "data/inference", "vectors": "data/qdrant"}
"""What fills up, and where it lies; each a disk of its own, the first mounted first."""
MEGABYTES = 160
LEAST = 16 * 1024 * 1024
LEASE_SECONDS = 6.0
_PACE = 0.2
"""Seconds after which a client that was refused comes back."""


def test_full_disks_lose_nothing_and_charge_nobody(
    tmp_path: Path, known_photos: Mapping[str, Photo], size: Size
) -> None:
    full, hold = size.of((["files"], 1.0), ([*PLACES] * 5, 1.5 * LEASE_SECONDS))
    verdict = storm(tmp_path, known_photos, size.seeds[0], full=full, hold=hold, broken=size.broken)
    verdict.keep()
    assert verdict.clean, verdict


def storm(
    folder: Path,
    known_photos: Mapping[str, Photo],
    seed: int,
    *,
    full: Sequence[str],
    hold: float = 1.0,
    broken: str | None = None,
) -> Verdict:
    """``full``: which disk, one after the other; each for ``hold`` seconds."""
    ledger, chance, begun = Ledger("disk", seed), random.Random(seed), time.monotonic()  # noqa: S311  # not a secret
    photos = folder / "photos"
    photos.mkdir()
    settings = {"MIN_FREE_BYTES": str(LEAST), "MEDIA_STORE_URL": photos.as_uri()}
    settings["LEASE_SECONDS"] = str(LEASE_SECONDS)
    with ExitStack() as mounted:
        disks = {name: mounted.enter_context(small_disk(folder / place, MEGABYTES)) for name, place in PLACES.items()}
        service = mounted.enter_context(
            storm_service(
                folder,
                ledger,
                known_photos,
                settings=settings,
                broken=broken,
                put_media=lambda name, content: _put(photos, name, content),
            )
        )
        service.start("up")
        over, problems = threading.Event(), list[str]()
        client = threading.Thread(target=post_until, args=(service, over, chance))
        client.start()
        for name in full:
            problems += fill_and_empty(service, known_photos, name, disks[name], hold)
        over.set()
        client.join()
        service.wait_until_done(120)
        assert set(service.stop().values()) == {0}
        end = service.end_state()
    verdict = ledger.judge(end, filled=len(full), seconds=round(time.monotonic() - begun))
    verdict.figures["released"] = sum(row["releases"] for row in end.jobs.values())
    verdict.unexpected += [*problems, *charged(end)]
    return verdict


def post_until(service: StormService, over: threading.Event, chance: random.Random) -> None:
    """Keeps some jobs waiting; a client that is refused comes back after a while."""
    while not over.is_set():
        until(lambda: over.is_set() or service.unfinished() < 9, bool, patience=120)
        photo = chance.choice(("two", "one", "none"))
        item = service.media(photo)
        for task_type in sorted(TASKS):
            if service.submit(task_type, item, photo) is None:
                over.wait(_PACE)


def fill_and_empty(
    service: StormService, known_photos: Mapping[str, Photo], name: str, disk: SmallDisk, hold: float
) -> Iterator[str]:
    """Fills a disk while a worker is about to write what it found; says what was not as it must be."""
    (number,) = service.faults.arm(Fault(Failpoint.FIND_AFTER, Action.STOP))
    (stopped,) = until(lambda: service.faults.struck(number), bool)
    disk.fill()
    os.kill(stopped.pid, signal.SIGCONT)
    begun, pace = time.monotonic(), threading.Event()
    while time.monotonic() - begun < hold:
        answer = post(service, known_photos)
        if (answer.status_code, answer.json().get("code")) != (503, "storage_full"):
            yield f"while the disk of the {name} is full, a new job is answered with {answer.status_code}"
        elif int(answer.headers["Retry-After"]) <= 0:
            yield "a refused client is not told when to come back"
        pace.wait(_PACE)
    disk.make_room()
    completed = service.count(COMPLETED)
    until(lambda: service.count(COMPLETED), lambda now: now > completed + 3)
    until(lambda: service.count(sa.select(sa.func.count()).select_from(outages)), lambda away: away == 0)


COMPLETED = sa.select(sa.func.count()).where(jobs.c.status == JobStatus.COMPLETED)


def post(service: StormService, known_photos: Mapping[str, Photo]) -> httpx2.Response:
    """A new job of the storm's own; in the ledger if it is accepted."""
    item = service.media("none")
    answer = service.client.post("/job/face_detection", json={"media_store_id": item})
    if answer.status_code == 201:
        service.ledger.acknowledge(answer.json()["job_id"], "face_detection", item, known_photos["none"])
    return answer


def _put(folder: Path, name: str, content: bytes) -> None:
    new = folder / f".{name}.new"
    new.write_bytes(content)
    new.rename(folder / name)
