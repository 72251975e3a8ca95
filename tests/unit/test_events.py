"""Job events on a real SQLite file: written with the change that they tell of, read in order, trimmed in time."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from media_inference.errors import ErrorCode, PermanentError, TransientError
from media_inference.jobs.event import Event, EventType
from media_inference.jobs.job import Claim, JobStatus, NewJob
from media_inference.jobs.outcome import Embedding, EmbeddingSet, Findings
from media_inference.queue.engine import open_engine, writing
from media_inference.queue.events import EventLog, Gap, add_event
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.outbox import Outbox
from media_inference.queue.tables import events, jobs

NOTHING = Findings({"faces": [], "face_count": 0})
VECTOR = np.full(512, 512**-0.5, np.float32)
VECTORS = Findings({}, EmbeddingSet("faces", "m", (Embedding(1, VECTOR, {}),)))
STORE_BUSY = TransientError(ErrorCode.MEDIA_UNAVAILABLE, "the media store is busy")
CORRUPT = PermanentError(ErrorCode.IMAGE_CORRUPT, "the picture ends early")


class Queue:
    """A queue with one job, whose clock a test moves; the events are those of this job."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.now = 1_700_000_000_000
        self.rings: list[int] = []
        self.log = EventLog(engine, self.clock)
        self.jobs = JobQueue(engine, self.clock, on_event=self.ring)
        self.records = JobRecords(engine, self.clock, on_event=self.ring)
        self.outbox = Outbox(engine, self.clock, on_event=self.ring)
        self.job_id = self.submit()

    def clock(self) -> int:
        return self.now

    def ring(self) -> None:
        """What is committed by now."""
        self.rings.append(self.log.newest())

    def submit(self) -> str:
        return self.jobs.submit(NewJob("face_detection", "1", 7)).job_id

    def claim(self) -> Claim:
        claim = self.jobs.claim("w")
        assert claim is not None
        return claim

    def settle(self, findings: Findings = NOTHING) -> None:
        assert self.jobs.settle(self.claim(), findings, lambda: None)

    def acknowledge(self) -> None:
        for entry in self.outbox.waiting(10):
            self.outbox.acknowledge(entry)

    def clean_up(self) -> None:
        self.records.clean_up(0, list(JobStatus), dry_run=False, removed=lambda _: None)

    def events(self) -> list[Event]:
        return list(self.log.of_job(self.job_id, 0).events)

    def story(self) -> str:
        """The job's events in short: ``queued started1 completed1``."""
        return " ".join(f"{event.type}{event.data.get('attempt', '')}" for event in self.events())


@pytest.fixture
def queue(engine: sa.Engine) -> Queue:
    return Queue(engine)


def published(queue: Queue) -> None:
    queue.settle(VECTORS)
    queue.acknowledge()


def acknowledged_twice(queue: Queue) -> None:
    queue.settle(VECTORS)
    (entry,) = queue.outbox.waiting(10)
    queue.outbox.acknowledge(entry)
    queue.outbox.acknowledge(entry)


def retried(queue: Queue) -> None:
    queue.jobs.retry(queue.claim(), STORE_BUSY, delay=0)
    queue.settle()


def released(queue: Queue) -> None:
    for _ in range(3):
        queue.jobs.release(queue.claim())
    queue.claim()
    queue.jobs.release_worker("w")
    queue.settle()


def released_between_retries(queue: Queue) -> None:
    queue.jobs.retry(queue.claim(), STORE_BUSY, delay=0)
    queue.jobs.release(queue.claim())
    queue.jobs.retry(queue.claim(), STORE_BUSY, delay=0)
    queue.settle()


def crashed_once(queue: Queue) -> None:
    queue.claim()
    queue.jobs.charge_worker("w")
    queue.settle()


def crashed_thrice(queue: Queue) -> None:
    for _ in range(3):
        queue.jobs.charge_lease(queue.claim().lease_token)


def deleted_while_running(queue: Queue) -> None:
    claim = queue.claim()
    assert queue.jobs.delete(queue.job_id)
    assert not queue.jobs.settle(claim, NOTHING, lambda: None)
    assert not queue.jobs.fail(claim, CORRUPT)
    assert not queue.jobs.delete(queue.job_id)


def deleted_before_its_vectors_are_published(queue: Queue) -> None:
    queue.settle(VECTORS)
    queue.jobs.delete(queue.job_id)
    queue.acknowledge()


def settled_by_a_worker_that_lost_its_lease(queue: Queue) -> None:
    lost = queue.claim()
    queue.jobs.charge_worker("w")
    queue.settle()
    assert not queue.jobs.settle(lost, NOTHING, lambda: None)


def cleaned_up(queue: Queue) -> None:
    queue.settle()
    queue.clean_up()
    queue.clean_up()


STORIES: dict[Callable[[Queue], object], str] = {
    Queue.events: "queued",
    Queue.claim: "queued started1",
    Queue.settle: "queued started1 completed1",
    published: "queued started1 completed1",
    acknowledged_twice: "queued started1 completed1",
    retried: "queued started1 started2 completed2",
    released: "queued started1 completed1",
    released_between_retries: "queued started1 started2 started3 completed3",
    crashed_once: "queued started1 started2 completed2",
    crashed_thrice: "queued started1 started2 started3 failed3",
    lambda queue: queue.jobs.fail(queue.claim(), CORRUPT): "queued started1 failed1",
    lambda queue: queue.jobs.delete(queue.job_id): "queued deleted",
    deleted_while_running: "queued started1 deleted",
    deleted_before_its_vectors_are_published: "queued started1 deleted",
    settled_by_a_worker_that_lost_its_lease: "queued started1 started2 completed2",
    cleaned_up: "queued started1 completed1 deleted",
}


@pytest.mark.parametrize(("live", "story"), STORIES.items(), ids=lambda part: getattr(part, "__name__", ""))
def test_a_job_has_exactly_the_events_of_its_story(queue: Queue, live: Callable[[Queue], object], story: str) -> None:
    live(queue)
    assert queue.story() == story


def test_an_event_says_what_a_listener_needs(queue: Queue) -> None:
    queue.now += 5
    queue.jobs.fail(queue.claim(), CORRUPT)
    queued, started, failed = (event.as_json() for event in queue.events())
    about = {"job_id": queue.job_id, "task_type": "face_detection", "media_store_id": "1", "priority": 7}
    then = queue.now
    assert queued == {"id": 1, "type": "queued", "at": then - 5, **about}
    assert started == {"id": 2, "type": "started", "at": then, "attempt": 1, **about}
    error = {"code": "image_corrupt", "message": "the picture ends early", "retryable": False}
    assert failed == {"id": 3, "type": "failed", "at": then, "attempt": 1, "error": error, **about}


CHANGES: dict[str, tuple[Callable[[Queue], object], Callable[[Queue], object]]] = {
    "submit": (Queue.events, Queue.submit),
    "claim": (Queue.events, Queue.claim),
    "settle": (Queue.events, Queue.settle),
    "fail": (Queue.events, lambda queue: queue.jobs.fail(queue.claim(), CORRUPT)),
    "acknowledge": (lambda queue: queue.settle(VECTORS), Queue.acknowledge),
    "charge": (
        lambda queue: [queue.jobs.charge_lease(queue.claim().lease_token) for _ in range(2)],
        lambda queue: queue.jobs.charge_lease(queue.claim().lease_token),
    ),
    "delete": (Queue.events, lambda queue: queue.jobs.delete(queue.job_id)),
    "clean_up": (Queue.settle, Queue.clean_up),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whoever_listens_is_woken_when_the_event_is_committed(queue: Queue, change: str) -> None:
    before, act = CHANGES[change]
    before(queue)
    queue.rings.clear()
    act(queue)
    assert queue.rings
    assert queue.rings[-1] == queue.log.newest()


REFUSED = {name: name for name in CHANGES} | {"settle": "completed", "fail": "failed", "charge": "failed"}
REFUSED |= {"submit": "queued", "claim": "started", "acknowledge": "completed", "delete": "deleted"}
REFUSED |= {"clean_up": "deleted"}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_whose_event_cannot_be_written_does_not_happen(queue: Queue, change: str) -> None:
    before, act = CHANGES[change]
    before(queue)
    refusal = f"WHEN NEW.type = '{REFUSED[change]}' BEGIN SELECT RAISE(ABORT, 'no events today'); END"
    with queue.engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TRIGGER refuse BEFORE INSERT ON events {refusal}")
    statuses = job_statuses(queue)
    with pytest.raises(sa.exc.IntegrityError, match="no events today"):
        act(queue)
    assert job_statuses(queue) == (statuses if change not in {"settle", "fail", "charge"} else ["processing"])


def job_statuses(queue: Queue) -> list[str]:
    with queue.engine.connect() as connection:
        return list(connection.scalars(sa.select(jobs.c.status)))


def test_nobody_is_woken_when_nothing_happened(queue: Queue) -> None:
    queue.claim()
    queue.rings.clear()
    assert queue.jobs.claim("w") is None
    assert queue.jobs.delete("unknown") is False
    queue.clean_up()
    assert queue.rings == []


def test_a_settlement_that_fails_tells_nothing(queue: Queue) -> None:
    def no_room() -> None:
        raise TransientError(ErrorCode.STORAGE_FULL, "no room")

    with pytest.raises(TransientError):
        queue.jobs.settle(queue.claim(), NOTHING, no_room)
    assert queue.story() == "queued started1"


def test_ids_rise_in_the_order_of_the_commits_whoever_writes(tmp_path: Path, engine: sa.Engine) -> None:
    """A reader that goes on behind the last id that it saw sees every event: none appears later below it."""
    writers, each = 4, 40

    def write() -> None:
        own = open_engine(f"sqlite:///{tmp_path}/test.db")
        queue = JobQueue(own)
        for _ in range(each // 2):
            queue.submit(NewJob("t", "1"))
            queue.claim("w")
        own.dispose()

    threads = [threading.Thread(target=write) for _ in range(writers)]
    for thread in threads:
        thread.start()
    log, seen = EventLog(engine), list[int]()
    while len(seen) < writers * each:
        page = log.page(seen[-1] if seen else 0, limit=7)
        assert page.gap is None
        seen += [event.event_id for event in page.events]
        assert seen or any(thread.is_alive() for thread in threads)
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        assert seen == list(connection.scalars(sa.select(events.c.event_id).order_by(events.c.event_id)))


def test_an_id_is_never_used_twice(queue: Queue) -> None:
    newest = queue.log.newest()
    with queue.engine.begin() as connection:
        connection.execute(events.delete())
    queue.submit()
    assert queue.log.newest() == newest + 1


def fill(queue: Queue, ages: list[int]) -> None:
    """Events 2, 3, … that happened so many milliseconds ago."""
    job = queue.records.get(queue.job_id)
    assert job is not None
    with writing(queue.engine) as tx:
        for age in ages:
            add_event(tx, EventType.STARTED, job, queue.now - age, attempt=1)


def kept(queue: Queue) -> list[int]:
    with queue.engine.connect() as connection:
        return list(connection.scalars(sa.select(events.c.event_id).order_by(events.c.event_id)))


def trim(queue: Queue, keep_ms: int, most: int = 1000) -> None:
    while queue.log.trim(keep_ms, most):
        pass


def test_only_what_is_old_enough_is_trimmed(queue: Queue) -> None:
    queue.now += 1000
    fill(queue, [900, 501, 500, 499, 0])
    trim(queue, 500)
    assert kept(queue) == [5, 6]


def test_nothing_young_is_trimmed_and_no_hole_is_made_where_a_clock_went_wrong(queue: Queue) -> None:
    queue.now += 1000
    fill(queue, [-3_600_000, 900, 900, 0])
    trim(queue, 500)
    assert kept(queue) == [2, 3, 4, 5]


def test_the_newest_event_stays_so_that_the_log_knows_where_it_stands(queue: Queue) -> None:
    queue.now += 1_000_000
    trim(queue, 1)
    assert kept(queue) == [1]
    assert queue.log.page(1, 10).gap is None


def test_there_are_never_more_than_the_most(queue: Queue) -> None:
    fill(queue, [0] * 2000)
    removed = queue.log.trim(10**9, most=1200)
    assert removed == 500, "one small transaction at a time"
    trim(queue, 10**9, most=1200)
    assert kept(queue) == list(range(802, 2002))


def test_a_reader_goes_on_exactly_behind_what_it_has_seen(queue: Queue) -> None:
    fill(queue, [0] * 9)
    seen, after = list[int](), 0
    while (page := queue.log.page(after, limit=4)).events:
        assert (page.gap, page.after) == (None, after)
        seen += [event.event_id for event in page.events]
        after = page.through
    assert seen == list(range(1, 11))
    assert (page.after, page.through) == (10, 10)


@pytest.mark.parametrize(
    ("after", "gap", "begins"),
    [(0, Gap.TRIMMED, 6), (4, Gap.TRIMMED, 6), (5, None, 6), (8, None, 9), (10, None, None), (11, Gap.UNKNOWN, 6)],
)
def test_a_reader_that_cannot_go_on_is_told_and_gets_all_that_is_kept(
    queue: Queue, after: int, gap: Gap | None, begins: int | None
) -> None:
    fill(queue, [0] * 9)
    queue.log.trim(10**9, most=5)
    page = queue.log.page(after, 100)
    assert page.gap == gap
    assert [event.event_id for event in page.events][:1] == ([] if begins is None else [begins])
    assert page.after == (after if gap is None else 5)


def test_the_events_of_a_job_have_no_gap_where_all_of_them_are_kept(queue: Queue) -> None:
    fill(queue, [0] * 3)
    queue.log.trim(10**9, most=3)
    young = queue.submit()
    assert queue.log.of_job(young, 0).gap is None
    old = queue.log.of_job(queue.job_id, 0)
    assert (old.gap, old.after, [event.event_id for event in old.events]) == (Gap.TRIMMED, 1, [2, 3, 4])
    assert queue.log.of_job(queue.job_id, 3).gap is None
    assert queue.log.of_job(queue.job_id, 6).gap is Gap.UNKNOWN


def test_a_job_from_before_there_were_events_begins_with_a_gap(queue: Queue) -> None:
    with queue.engine.begin() as connection:
        connection.execute(events.delete())
    page = queue.log.of_job(queue.job_id, 0)
    assert (page.gap, page.events) == (Gap.TRIMMED, ())


def test_a_job_finds_its_events_by_the_index(queue: Queue) -> None:
    with queue.engine.connect() as connection:
        plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN SELECT * FROM events WHERE job_id = '' ORDER BY event_id")
        steps = " ".join(str(row[3]) for row in plan)
    assert "ix_events_job_id" in steps
    assert "TEMP B-TREE" not in steps
