"""Jobs that kill, choke or hang their worker, among many good ones."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
TWENTY = (*(Action.ABORT, Action.SEGFAULT) * 6, *(Action.EXHAUST,) * 4, *(Action.HANG, DECODER) * 2)
TURNS = 2
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
class Side:
    """A service, and how many seconds it took until its good jobs were completed, and until all were finished."""

    service: StormService
    until_good: float = 0.0
    until_all: float = 0.0

    def work(self, batch: Batch, chance: random.Random) -> None:
        """Posts a batch and waits until all of it is finished."""
        kinds: list[str | None] = [None] * batch.good + list(batch.poisons)
        chance.shuffle(kinds)
        begun = time.monotonic()
        good = [job_id for kind in kinds for job_id in [self._submit(kind, chance)] if kind is None]
        completed = sa.select(sa.func.count()).where(jobs.c.job_id.in_(good), jobs.c.status == JobStatus.COMPLETED)
        until(lambda: self.service.count(completed) == len(good) or self._has_no_end(), bool, 600)
        self.until_good += time.monotonic() - begun
        until(lambda: self.service.unfinished() == 0 or self._has_no_end(), bool, 600)
        self.until_all += time.monotonic() - begun

    def _has_no_end(self) -> bool:
        return self.service.most_claims() > MOST_CLAIMS

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
    if size.full:
        verdict = compare(tmp_path, known_photos, large_photo(shared), turns(500, TWENTY), size.broken)
    else:
        batch = Batch(10, (Action.ABORT, Action.SEGFAULT, DECODER))
        verdict = storm(tmp_path, known_photos, known_photos["one"], batch, size.broken)
    verdict.keep()
    assert verdict.clean, verdict
    assert verdict.figures.get("throughput", 1.0) >= 0.7, verdict


def turns(good: int, poisons: Sequence[str]) -> list[Batch]:
    """Several, so that whatever else the machine does strikes both sides alike."""
    return [Batch(good // TURNS, poisons[turn::TURNS]) for turn in range(TURNS)]


def storm(
    folder: Path, known_photos: Mapping[str, Photo], good: Photo, batch: Batch, broken: str | None = None
) -> Verdict:
    """One batch on a service."""
    with side(folder, known_photos, good, broken) as poisoned:
        poisoned.work(batch, random.Random(1))  # noqa: S311  # not a secret
        return judge(poisoned)


def compare(
    folder: Path, known_photos: Mapping[str, Photo], good: Photo, batches: Sequence[Batch], broken: str | None
) -> Verdict:
    """The batches on one service, and the same without their poisons on another, in turns.

    ``throughput``: how many good jobs a second are completed beside poisons, as a part of how many without.
    """
    with (
        side(folder / "clean", known_photos, good, None) as clean,
        side(folder / "poisoned", known_photos, good, broken) as poisoned,
    ):
        for number, batch in enumerate(batches):
            clean.work(Batch(batch.good, ()), random.Random(number))  # noqa: S311  # not a secret
            poisoned.work(batch, random.Random(number))  # noqa: S311  # not a secret
        verdict = judge(poisoned)
    verdict.figures |= {
        "throughput": round(clean.until_good / poisoned.until_good, 2),
        "throughput_with_poison_finished": round(clean.until_all / poisoned.until_all, 2),
        "clean_s": round(clean.until_good, 1),
        "poisoned_s": round(poisoned.until_good, 1),
    }
    return verdict


@contextmanager
def side(folder: Path, known_photos: Mapping[str, Photo], good: Photo, broken: str | None) -> Iterator[Side]:
    """A service that is ready; ``good`` is what the good jobs are about."""
    photos = {**known_photos, "good": good, "killer": decoder_killer()}
    with storm_service(folder, Ledger("poison"), photos, settings=SETTINGS, broken=broken) as service:
        service.start("up", workers=WORKERS)
        yield Side(service)


def judge(poisoned: Side) -> Verdict:
    """The ledger's verdict, and that no job took more than three workers with it."""
    end = poisoned.service.end_state()
    crashes = {job_id: row["crashes"] for job_id, row in end.jobs.items()}
    verdict = poisoned.service.ledger.judge(end, crashes=sum(crashes.values()))
    verdict.unexpected += [f"{job_id} crashed {times} times" for job_id, times in crashes.items() if times > 3]
    return verdict
