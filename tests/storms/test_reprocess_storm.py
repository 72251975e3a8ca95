"""Media items change and are processed again while publishers die: their points are those of the last outcome."""

import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from media_inference.failpoints import Failpoint
from media_inference.jobs.job import JobStatus
from media_inference.queue.tables import jobs
from tests.stands.running_service import until
from tests.storms.end_state import Row, rows_of
from tests.storms.faults import ANYTHING, Action, Fault
from tests.storms.ledger import Ledger, Verdict
from tests.storms.photos import Photo
from tests.storms.service import StormService, storm_service
from tests.storms.size import Size

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1800)]

TASK = "face_embedding"
GONE = "media_not_found"
TURNS = ("five", "two", "none", "three")
KILLS = (
    Failpoint.PUBLISH_AFTER_UPSERT,
    Failpoint.PUBLISH_AFTER_UPSERT,
    Failpoint.PUBLISH_AFTER_DELETE,
    Failpoint.ACKNOWLEDGE_BEFORE_COMMIT,
)


def test_the_points_are_those_of_the_last_accepted_outcome(
    tmp_path: Path, known_photos: Mapping[str, Photo], size: Size, seed: int
) -> None:
    items, rounds = size.of((2, 1), (8, 4))
    verdict = storm(tmp_path, known_photos, seed, items=items, rounds=rounds, broken=size.broken)
    verdict.keep()
    assert verdict.clean, verdict


def storm(
    folder: Path,
    known_photos: Mapping[str, Photo],
    seed: int,
    *,
    items: int,
    rounds: int,
    turns: Sequence[str] = TURNS,
    broken: str | None = None,
) -> Verdict:
    """Every item takes every turn in each round: with a kill, or with two jobs alive at once and a photo that goes."""
    ledger, begun = Ledger("reprocess", seed), time.monotonic()
    chance = random.Random(seed)  # noqa: S311  # not a secret
    with storm_service(folder, ledger, known_photos, broken=broken) as service:
        service.start("serve", "worker-1", "worker-2")
        storm = Reprocessing(service, known_photos)
        for number in range(rounds):
            storm.round(turns if number == 0 else chance.sample(turns, len(turns)), items)
        vanished = storm.settle_the_ledger()
        service.wait_until_ready(2)  # what was killed last may just be starting, and would heed no signal yet
        assert set(service.stop().values()) == {0}
        return ledger.judge(
            service.end_state(),
            turns=rounds * len(turns),
            kills=len(storm.kills),
            duels=storm.duels,
            media_vanished=vanished,
            seconds=round(time.monotonic() - begun),
        )


@dataclass(slots=True)
class Reprocessing:
    """Media items that change. ``possible``: what each job may come to, by what lay there while it could look."""

    service: StormService
    photos: Mapping[str, Photo]
    possible: dict[str, set[str]] = field(default_factory=dict)
    unanswered: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    kills: list[int] = field(default_factory=list)
    duels: int = 0

    def round(self, turns: Sequence[str], items: int) -> None:
        """All turns. Items of even number have their publisher killed; of the others, photos change and go."""
        for number, photo in enumerate(turns):
            for item in (f"item-{index}" for index in range(1, items, 2)):
                if number == 1:
                    self._duel(item, photo, turns[0])
                elif number == 2:
                    self._vanish(item, photo)
                else:
                    self._one(item, photo)
            for item in (f"item-{index}" for index in range(0, items, 2)):
                self.kills += self.service.faults.arm(Fault(KILLS[number], Action.KILL, subject=item))
                self._one(item, photo)
            self.service.wait_until_done(180)
        assert all(self.service.faults.struck(kill) for kill in self.kills)

    def settle_the_ledger(self) -> int:
        """Writes down what each job must be, now that it is known what it saw; returns how many saw nothing."""
        with self.service.engine.begin() as tx:
            rows = rows_of(tx, jobs)
        for row in rows:
            item = row["media_store_id"]
            possible = self.possible.get(row["job_id"], self.unanswered[item])
            saw = self._seen(row)
            answer = saw if saw in possible else min(possible)
            wanted = {GONE} if answer == GONE else self.photos[answer]
            self.service.ledger.acknowledge(row["job_id"], TASK, item, wanted)
        return sum(row["error_code"] == GONE for row in rows)

    def _one(self, item: str, photo: str) -> None:
        """The item shows another photo, and one job looks."""
        self.service.media(photo, item)
        self._submit(item, photo)

    def _duel(self, item: str, photo: str, other: str) -> None:
        """A job looks at one photo and takes its time; meanwhile the item shows another, and another job looks."""
        slow = self._slow_down(Failpoint.FETCH_AFTER, item)
        self._one(item, photo)
        until(lambda: self.service.faults.struck(slow), bool)
        self._one(item, other)
        self.duels += 1

    def _vanish(self, item: str, photo: str) -> None:
        """A job is claimed, and its item is deleted before the job looks."""
        self.service.media(photo, item)
        slow = self._slow_down(Failpoint.CLAIM_AFTER_COMMIT)
        self._submit(item, photo, GONE)
        until(lambda: self.service.faults.struck(slow), bool)
        (self.service.media_folder / item).unlink()

    def _slow_down(self, point: Failpoint, subject: str = ANYTHING) -> int:
        """The next process there pauses for as long as a dozen jobs take."""
        return self.service.faults.arm(*[Fault(point, Action.SLEEP, subject=subject)] * 6)[0]

    def _submit(self, item: str, *possible: str) -> None:
        """Posts until an answer comes."""
        while (job_id := self.service.submit(TASK, item, possible[0])) is None:
            self.unanswered[item] |= set(possible)
            until(self.service.answers, bool)
        self.possible[job_id] = set(possible)

    def _seen(self, row: Row) -> str:
        """The photo with as many faces as the job found, or why it found none."""
        if row["status"] == JobStatus.FAILED:
            return str(row["error_code"])
        faces = len((row["result"] or {}).get("faces", ()))
        return next((name for name in TURNS if self.photos[name].faces == faces), "")
