"""Entries that don't concern each other share a sync and a commit; those that do keep their order."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from media_inference.errors import ErrorCode, TransientError
from media_inference.jobs.job import NewJob
from media_inference.jobs.outcome import Embedding, EmbeddingSet, Findings, PointId
from media_inference.publisher.vectors import MOST_POINTS, VectorPublisher
from media_inference.queue.engine import open_engine
from media_inference.queue.events import EventLog
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.migrate import migrate
from media_inference.queue.outbox import Outbox, OutboxEntry
from media_inference.vectors.edge_store import EdgeStore
from media_inference.vectors.store import FACES, IMAGE_EMBEDDINGS, Point


class WatchedStore(EdgeStore):
    """The real store; notes what it is asked to do, and may be away."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked = list[tuple[str, str, int]]()
        self.away = ""

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        self._note("upsert", collection, len(points))
        super().upsert(collection, points)

    def delete(self, collection: str, ids: Sequence[PointId]) -> None:
        self._note("delete", collection, len(ids))
        super().delete(collection, ids)

    def _note(self, step: str, collection: str, size: int) -> None:
        if step == self.away:
            raise TransientError(ErrorCode.VECTOR_STORE_UNAVAILABLE, "away")
        self.asked.append((step, collection, size))


class OneByOne(Outbox):
    """Shows one entry at a time, so that nothing can be published together."""

    def waiting(self, limit: int) -> Sequence[OutboxEntry]:
        return super().waiting(min(limit, 1))


class Office:
    """A queue, a vector store and a publisher between them."""

    def __init__(self, folder: Path, kind: type[Outbox] = Outbox) -> None:
        folder.mkdir(exist_ok=True)
        self.engine = open_engine(f"sqlite:///{folder}/test.db")
        migrate(self.engine)
        self.queue, self.records = JobQueue(self.engine), JobRecords(self.engine)
        self.outbox = kind(self.engine)
        self.vectors = WatchedStore(folder / "qdrant")
        self.publisher = VectorPublisher(self.outbox, self.vectors)

    def settle(self, media: str, *point_ids: int, collection: str = FACES, seed: int = 0) -> str:
        job_id = self.queue.submit(NewJob("face_embedding", media)).job_id
        claim = self.queue.claim("w")
        assert claim is not None
        vector = np.random.default_rng(seed).normal(size=512).astype(np.float32)
        vector /= np.linalg.norm(vector)
        points = tuple(Embedding(point_id, vector, {"media": media, "seed": seed}) for point_id in point_ids)
        assert self.queue.settle(claim, Findings({}, EmbeddingSet(collection, "m", points)), lambda: None)
        return job_id

    def publish_all(self) -> None:
        while self.publisher.publish_some():
            pass

    def points(self, collection: str = FACES) -> dict[PointId, object]:
        return {point.id: point.payload for page in self.vectors.scroll(collection) for point in page}

    def close(self) -> None:
        self.vectors.close()
        self.engine.dispose()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.close()


def test_entries_of_different_items_share_a_sync_and_a_commit(office: Office) -> None:
    jobs = [office.settle(str(item), 1000 * item, 1000 * item + 1) for item in range(1, 21)]
    jobs += [office.settle(str(item), item, collection=IMAGE_EMBEDDINGS) for item in range(1, 6)]
    commits = list[object]()
    sa.event.listen(office.engine, "commit", commits.append)
    assert office.publisher.publish_some() == 25
    assert office.vectors.asked == [("upsert", FACES, 40), ("upsert", IMAGE_EMBEDDINGS, 5)]
    writes = 1
    assert len(commits) == writes + 2  # and the two looks at what waits
    assert len(office.points()) == 40
    assert {office.records.statistics().jobs_by_status["completed"]} == {25}
    told = [event.job_id for event in EventLog(office.engine).page(0, 999).events if event.type == "completed"]
    assert told == jobs


def test_of_several_outcomes_of_an_item_only_the_last_is_stored_and_all_are_completed(office: Office) -> None:
    office.settle("1", 1000, 1001, 1002)
    office.publish_all()
    jobs = [office.settle("1", 1000, 1003), office.settle("2", 2000), office.settle("1", 1000), office.settle("3")]
    office.vectors.asked.clear()
    assert office.publisher.publish_some() == 4
    assert office.vectors.asked == [("upsert", FACES, 2), ("delete", FACES, 3)]
    assert set(office.points()) == {1000, 2000}
    told = [event.job_id for event in EventLog(office.engine).page(0, 99).events if event.type == "completed"]
    assert told[1:] == jobs


def test_an_outcome_is_not_completed_by_a_later_one_that_has_no_room_beside_it(office: Office) -> None:
    office.settle("1", 1000)
    office.settle("2", *range(2000, 2000 + MOST_POINTS - 1))
    office.settle("1", 1001, 1002)
    office.publisher.publish_some()
    assert [size for _, _, size in office.vectors.asked] == [MOST_POINTS, 2, 1]
    assert {1001, 1002} <= set(office.points())
    assert 1000 not in office.points()


@pytest.mark.parametrize("points", [(1000,), (1001,), ()])
def test_a_later_outcome_of_an_item_wins_whatever_points_it_has(office: Office, points: tuple[int, ...]) -> None:
    office.settle("1", 1000, 1002)
    office.settle("1")
    office.settle("1", *points)
    office.publish_all()
    assert set(office.points()) == set(points)


def test_a_point_that_one_gives_up_and_another_takes_stays(office: Office) -> None:
    office.settle("1", 7, 8)
    office.publish_all()
    office.settle("1", 8)
    office.settle("2", 7)
    office.publish_all()
    assert office.points() == {8: {"media": "1", "seed": 0}, 7: {"media": "2", "seed": 0}}


def test_no_more_points_are_held_at_once_than_may_be_but_one_entry_may_have_more(office: Office) -> None:
    half = MOST_POINTS // 2
    for item in range(3):
        office.settle(str(item), *range(1000 * item, 1000 * item + half))
    office.settle("9", *range(9000, 9000 + 2 * MOST_POINTS))
    assert office.publisher.publish_some() == 4
    assert [size for _, _, size in office.vectors.asked] == [2 * half, half, 2 * MOST_POINTS]


@pytest.mark.parametrize("step", ["upsert", "delete"])
def test_when_the_store_is_away_none_is_acknowledged_and_all_come_again(office: Office, step: str) -> None:
    office.settle("1", 1000, 1001)
    office.publish_all()
    jobs = [office.settle("1", 1000), office.settle("2", 2000)]
    office.vectors.away = step
    with pytest.raises(TransientError):
        office.publisher.publish_some()
    assert [entry.job_id for entry in office.outbox.waiting(9)] == jobs
    assert office.records.statistics().jobs_by_status["completed"] == 1
    office.vectors.away = ""
    office.publish_all()
    assert set(office.points()) == {1000, 2000}
    assert office.records.statistics().jobs_by_status["completed"] == 3


@pytest.mark.parametrize("seed", range(2))
def test_together_they_leave_what_they_would_one_by_one(tmp_path: Path, seed: int) -> None:
    offices = [Office(tmp_path / "together"), Office(tmp_path / "alone", OneByOne)]
    for office in offices:
        dice = random.Random(seed)  # noqa: S311  # chooses outcomes, no secret
        for number in range(40):
            media = dice.randrange(1, 9)
            points = dice.sample(range(6), dice.randrange(4))
            # Neighbours share a point, so that one gives up what another takes.
            office.settle(str(media), *(5 * media + point for point in points), seed=number)
            if dice.random() < 0.1:
                office.publisher.publish_some()
        office.publish_all()
    together, alone = offices
    assert together.points() == alone.points()
    counted = [office.records.statistics() for office in offices]
    assert counted[0].jobs_by_status == counted[1].jobs_by_status
    assert counted[0].jobs_by_status["completed"] == 40
    assert len(together.vectors.asked) < len(alone.vectors.asked)
    for office in offices:
        office.close()
