"""Jobs that kill, choke or hang their worker, among many good ones."""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.failpoints import Failpoint
from media_inference.jobs.job import JobStatus
from media_inference.queue.tables import jobs
from media_inference.tasks.catalog import TASKS
from tests.stands.running_service import until
from tests.storms.faults import EVERY, Action, Fault
from tests.storms.ledger import Ledger, Verdict
from tests.storms.photos import Photo, decoder_killer, large_photo
from tests.storms.service import StormService, storm_service
from tests.storms.size import Size

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1800)]

DECODER = "decoder"
ONE_OF_EACH = (Action.ABORT, Action.SEGFAULT, Action.EXHAUST, Action.HANG, DECODER)
TEN = (*(Action.ABORT, Action.SEGFAULT) * 3, *(Action.EXHAUST,) * 2, Action.HANG, DECODER)
SETTINGS = {"JOB_TIMEOUT": "5", "DECODE_TIMEOUT": "2"}
WORKERS = 2
MOST_CLAIMS = 6
"""Of one job: with more of them there would be no end."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs that are posted together. ``poisons`` lie anywhere among ``good`` ones."""

    good: int
    poisons: Sequence[str]


@dataclass(slots=True)
class Times:
    """Seconds until the good jobs were completed, and until all were finished."""

    good: float = 0.0
    all: float = 0.0


@dataclass(slots=True)
class Side:
    """One of the two services that are compared, and what it took."""

    service: StormService
    times: Times = field(default_factory=Times)

    def work(self, batch: Batch, chance: random.Random) -> None:
        """Posts a batch and waits until all of it is finished."""
        kinds: list[str | None] = [None] * batch.good + list(batch.poisons)
        chance.shuffle(kinds)
        begun = time.monotonic()
        good = [job_id for kind in kinds for job_id in [self._submit(kind, chance)] if kind is None]
        completed = sa.select(sa.func.count()).where(jobs.c.job_id.in_(good), jobs.c.status == JobStatus.COMPLETED)
        until(lambda: self.service.count(completed), lambda count: count == len(good), 600)
        self.times.good += time.monotonic() - begun
        until(lambda: self.service.unfinished() == 0 or self.service.most_claims() > MOST_CLAIMS, bool, 600)
        self.times.all += time.monotonic() - begun

    def _submit(self, kind: str | None, chance: random.Random) -> str | None:
        if kind is None:
            return self.service.submit(chance.choice(sorted(TASKS)), self.service.media("good"), "good")
        if kind == DECODER:
            return self.service.submit("image_embedding", self.service.media("killer"), ("decoder_crashed",))
        item = self.service.media("one")
        self.service.faults.arm(Fault(Failpoint.FETCH_AFTER, Action(kind), EVERY, item))
        return self.service.submit("face_embedding", item, ("worker_crashed",))


def test_jobs_that_kill_their_worker_fail_with_their_reason_and_hold_up_no_others(
    tmp_path: Path, known_photos: Mapping[str, Photo], shared: Path, size: Size
) -> None:
    good = large_photo(shared) if size.full else known_photos["one"]  # how much a crash costs is told in real photos
    batches = [Batch(250, TEN)] * 2 if size.full else [Batch(20, ONE_OF_EACH[:3])]
    verdict = storm(tmp_path, known_photos, good, batches, size.broken)
    verdict.keep()
    assert verdict.clean, verdict
    if size.full:
        assert verdict.figures["throughput"] >= 0.7, verdict


def storm(
    folder: Path, known_photos: Mapping[str, Photo], good: Photo, batches: Sequence[Batch], broken: str | None = None
) -> Verdict:
    """The batches on one service, and the same without their poisons on another, in turns."""
    photos = {**known_photos, "good": good, "killer": decoder_killer()}
    ledger, chance, settings = Ledger("poison"), random.Random(1), SETTINGS  # noqa: S311  # not a secret
    with (
        storm_service(folder / "clean", Ledger("clean"), photos, settings=settings) as clean,
        storm_service(folder / "poisoned", ledger, photos, settings=settings, broken=broken) as poisoned,
    ):
        sides = Side(clean), Side(poisoned)
        for side in sides:
            side.service.start("up", workers=WORKERS)
        for batch in batches:
            sides[0].work(Batch(batch.good, ()), chance)
            sides[1].work(batch, chance)
        end = poisoned.end_state()
    one, other = sides[0].times, sides[1].times
    verdict = ledger.judge(
        end,
        throughput=round(one.good / other.good, 2),
        throughput_with_poison_finished=round(one.all / other.all, 2),
        clean_s=round(one.good, 1),
        poisoned_s=round(other.good, 1),
        crashes=sum(row["crashes"] for row in end.jobs.values()),
    )
    verdict.unexpected += [
        f"{job_id} crashed {row['crashes']} times" for job_id, row in end.jobs.items() if row["crashes"] > 3
    ]
    return verdict
