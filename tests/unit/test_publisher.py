"""From the outbox into the vector store, with the real embedded Qdrant."""

import itertools
import select
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from media_inference.errors import Dependency, DependencyAway, ErrorCode, TransientError
from media_inference.jobs.job import JobStatus, NewJob
from media_inference.jobs.outcome import Embedding, EmbeddingSet, Findings, PointId
from media_inference.jobs.retry import Backoff
from media_inference.processes.relays import rest_of
from media_inference.publisher.relay import Relay
from media_inference.publisher.vectors import AT_ONCE, VectorPublisher
from media_inference.queue.engine import open_engine
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.migrate import migrate
from media_inference.queue.outages import OutageRecords
from media_inference.queue.outbox import Outbox
from media_inference.queue.wake import Wake
from media_inference.vectors.edge_store import EdgeStore
from media_inference.vectors.store import FACES, Point
from tests.stands.running_service import until


class FlakyStore(EdgeStore):
    """The real store, with a cable that can be pulled before any of its steps."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.away: set[str] = set()
        self.error: Exception = TransientError(ErrorCode.VECTOR_STORE_UNAVAILABLE, "the cable is pulled")
        self.asked = threading.Event()

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        self._step("upsert")
        super().upsert(collection, points)

    def delete(self, collection: str, ids: Sequence[PointId]) -> None:
        self._step("delete")
        super().delete(collection, ids)

    def _step(self, name: str) -> None:
        if name in self.away:
            self.asked.set()
            raise self.error


class Office:
    """A queue, a vector store and a publisher between them."""

    def __init__(self, folder: Path) -> None:
        engine = open_engine(f"sqlite:///{folder}/test.db")
        migrate(engine)
        self.queue = JobQueue(engine)
        self.records = JobRecords(engine)
        self.outbox = Outbox(engine)
        self.outages = OutageRecords(engine)
        self.vectors = FlakyStore(folder / "qdrant")
        self.publisher = VectorPublisher(self.outbox, self.vectors)

    def settle(self, *point_ids: int) -> str:
        """A settled job that found these faces."""
        job_id = self.queue.submit(NewJob("face_embedding", "1")).job_id
        claim = self.queue.claim("w")
        assert claim is not None
        vector = np.full(512, 512**-0.5, np.float32)
        points = tuple(Embedding(point_id, vector, {"job_id": job_id}) for point_id in point_ids)
        assert self.queue.settle(claim, Findings({}, EmbeddingSet(FACES, "m", points)), lambda: None)
        return job_id

    def status(self, job_id: str) -> JobStatus:
        job = self.records.get(job_id)
        assert job is not None
        return job.status

    def points(self) -> set[PointId]:
        return {point.id for point in self.vectors.retrieve(FACES, [1000, 1001, 1002, 1003, 1004])}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.vectors.close()


def test_a_job_is_completed_when_its_vectors_are_searchable(office: Office) -> None:
    job_id = office.settle(1000, 1001)
    assert office.status(job_id) is JobStatus.PROCESSING
    assert office.publisher.publish_some() == 1
    assert (office.status(job_id), office.points()) == (JobStatus.COMPLETED, {1000, 1001})
    assert office.publisher.publish_some() == 0


@pytest.mark.parametrize("step", ["upsert", "delete"])
def test_a_store_that_fails_halfway_is_brought_in_step_by_the_next_round(office: Office, step: str) -> None:
    office.settle(1000, 1001, 1002, 1003, 1004)
    office.publisher.publish_some()
    later = office.settle(1000, 1001)
    office.vectors.away = {step}
    with pytest.raises(TransientError):
        office.publisher.publish_some()
    assert office.status(later) is JobStatus.PROCESSING
    office.vectors.away = set()
    office.publisher.publish_some()
    assert (office.status(later), office.points()) == (JobStatus.COMPLETED, {1000, 1001})


def test_faces_five_two_none_three_leave_exactly_the_last_outcome(office: Office) -> None:
    for found in (5, 2, 0, 3):
        ids = [1000 + index for index in range(found)]
        job_id = office.settle(*ids)
        office.publisher.publish_some()
        assert (office.points(), office.status(job_id)) == (set(ids), JobStatus.COMPLETED)


def test_the_relay_publishes_when_it_is_woken_and_recovers_from_an_outage(office: Office) -> None:
    wake = Wake.pipe()
    relay = Relay(Dependency.VECTOR_STORE, office.publisher, office.outages, wake=wake, poll_interval=3600, finish=True)
    office.vectors.away = {"upsert"}
    relay.start()
    job_id = office.settle(1000)
    wake.ring()
    assert office.vectors.asked.wait(30)
    office.vectors.away = set()
    relay.stop()
    assert office.status(job_id) is JobStatus.COMPLETED
    assert relay.state().failures == 0
    assert office.outages.current() == []
    wake.close()


def test_rounds_keep_their_distance_so_that_what_comes_in_between_goes_together(office: Office) -> None:
    wake = Wake.pipe()
    asked, rounds = list[tuple[float, float]](), list[tuple[float, float]]()

    class Watched:
        def publish_some(self) -> int:
            rounds.append(asked[-1])
            return office.publisher.publish_some()

    def rest(since: float) -> float:
        asked.append((time.monotonic(), since))
        return 0.1 - since

    relay = Relay(
        Dependency.VECTOR_STORE,
        Watched(),
        office.outages,
        wake=wake,
        poll_interval=3600,
        rest=rest,
    )
    relay.start()
    until(lambda: rounds, bool)
    for _ in range(5):
        last = office.settle(1000)
        wake.ring()
    until(lambda: office.status(last), lambda status: status is JobStatus.COMPLETED)
    seen = list(rounds)  # the last one, on being stopped, waits for nobody
    relay.stop()
    assert len(seen) > 1
    assert min(since for _, since in seen) >= 0.1
    for (before, _), (now, since) in itertools.pairwise(seen):
        assert now - since >= before, "it counts from the beginning of the round before"
    wake.close()


def test_who_is_the_last_that_was_waited_for_ends_the_rest(office: Office) -> None:
    wake = Wake.pipe()
    in_company, asked = threading.Event(), threading.Event()
    in_company.set()

    def rest(_since: float) -> float:
        asked.set()
        return 3600 if in_company.is_set() else 0

    relay = Relay(Dependency.VECTOR_STORE, office.publisher, office.outages, wake=wake, poll_interval=3600, rest=rest)
    job_id = office.settle(1000)
    relay.start()
    assert asked.wait(30)
    assert office.status(job_id) is JobStatus.PROCESSING
    in_company.clear()
    wake.ring()
    until(lambda: office.status(job_id), lambda status: status is JobStatus.COMPLETED)
    relay.stop()
    wake.close()


def test_who_rang_before_a_round_does_not_begin_another(office: Office) -> None:
    wake = Wake.pipe()
    rung, rounds = list[bool](), threading.Semaphore(0)

    def rest(_since: float) -> float:
        wake.ring()
        return 0.0

    def note() -> None:
        assert wake.reader is not None
        rung.append(bool(select.select([wake.reader], [], [], 0)[0]))
        rounds.release()

    relay = Relay(
        Dependency.VECTOR_STORE,
        office.publisher,
        office.outages,
        wake=wake,
        poll_interval=3600,
        rest=rest,
        page=2,
        on_round=note,
    )
    job_id = office.settle(1000)
    relay.start()
    assert all(rounds.acquire(timeout=30) for _ in range(2))  # after the round, and before the relay waits
    assert office.status(job_id) is JobStatus.COMPLETED
    assert rung == [False, False]
    relay.stop()
    wake.close()


def test_a_round_that_was_full_is_followed_by_another(office: Office) -> None:
    relay = Relay(Dependency.VECTOR_STORE, office.publisher, office.outages, poll_interval=3600, page=AT_ONCE)
    jobs = [office.settle(1000 + number) for number in range(AT_ONCE + 1)]
    relay.start()
    until(lambda: office.status(jobs[-1]), lambda status: status is JobStatus.COMPLETED)
    relay.stop()


def test_outcomes_are_not_kept_waiting_unless_more_will_come(office: Office) -> None:
    assert 0 < rest_of(office.outbox, 0.0) < 0.05
    office.queue.submit(NewJob("face_embedding", "1"))
    assert rest_of(office.outbox, 0.0) < 0.05
    claim = office.queue.claim("w")
    assert claim is not None
    assert 0.1 < rest_of(office.outbox, 0.0) < 0.25
    assert rest_of(office.outbox, 1.0) == 0.0
    assert office.queue.settle(claim, Findings({}), lambda: None)
    assert rest_of(office.outbox, 0.0) < 0.05


def test_the_relay_says_what_is_wrong_while_it_waits(office: Office) -> None:
    wake = Wake.pipe()
    relay = Relay(Dependency.VECTOR_STORE, office.publisher, office.outages, wake=wake, poll_interval=3600, finish=True)
    office.vectors.away = {"upsert"}
    office.settle(1000)
    relay.start()
    assert office.vectors.asked.wait(30)
    relay.stop()
    state = relay.state()
    assert state.failures >= 1
    assert state.last_error == "the cable is pulled"
    (outage,) = office.outages.current()
    assert (outage.dependency, outage.reason) == (Dependency.VECTOR_STORE, "the cable is pulled")
    wake.close()


def test_the_relay_outlives_an_error_that_nobody_foresaw(office: Office) -> None:
    wake = Wake.pipe()
    relay = Relay(Dependency.VECTOR_STORE, office.publisher, office.outages, wake=wake, poll_interval=3600, finish=True)
    office.vectors.away, office.vectors.error = {"upsert"}, ValueError("secret of the inside")
    job_id = office.settle(1000)
    relay.start()
    assert office.vectors.asked.wait(30)
    while not relay.state().failures:
        threading.Event().wait(0.01)
    assert relay.state().running
    assert "secret" not in (relay.state().last_error or "")
    office.vectors.away = set()
    relay.stop()
    assert office.status(job_id) is JobStatus.COMPLETED
    wake.close()


def test_a_relay_that_must_not_finish_leaves_what_waits(office: Office) -> None:
    wake = Wake.pipe()
    relay = Relay(Dependency.VECTOR_STORE, office.publisher, office.outages, wake=wake, poll_interval=3600)
    relay._backoff = Backoff(first=3600, longest=3600)  # it is stopped before it tries again
    relay.start()
    office.vectors.away = {"upsert"}
    job_id = office.settle(1000)
    wake.ring()
    assert office.vectors.asked.wait(30)
    office.vectors.away = set()
    relay.stop()
    assert office.status(job_id) is JobStatus.PROCESSING
    wake.close()


def test_a_relay_that_is_stopped_during_an_outage_does_not_say_that_it_is_over(office: Office) -> None:
    relay = Relay(Dependency.VECTOR_STORE, office.publisher, office.outages, poll_interval=3600)
    office.vectors.away = {"upsert"}
    office.settle(1000)
    relay.start()
    while not relay.state().failures:
        threading.Event().wait(0.01)
    relay.stop()
    assert relay.state().failures >= 1
    assert len(office.outages.current()) == 1


def test_an_outage_of_an_earlier_process_is_over_after_the_first_good_round(office: Office) -> None:
    office.outages.begin(Dependency.VECTOR_STORE, "said by a process that was killed")
    rounds = threading.Semaphore(0)
    relay = Relay(
        Dependency.VECTOR_STORE, office.publisher, office.outages, poll_interval=3600, on_round=rounds.release
    )
    relay.start()
    assert rounds.acquire(timeout=30)
    assert office.outages.current() == []
    relay.stop()


def test_a_relay_starts_while_the_database_can_not_be_written_and_catches_up(office: Office) -> None:
    office.outages.begin(Dependency.VECTOR_STORE, "said by a process that was killed")
    database = office.queue._engine.url.database or ""
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE outages RENAME TO hidden")
    relay = Relay(Dependency.VECTOR_STORE, office.publisher, office.outages, poll_interval=3600, finish=True)
    relay.start()
    while not relay.state().failures:
        threading.Event().wait(0.01)
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE hidden RENAME TO outages")
    relay.stop()
    assert office.outages.current() == []


class HangingPublisher:
    """Waits for an answer that comes only when the line is cut."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.cut = threading.Event()

    def publish_some(self) -> int:
        self.asked.set()
        self.cut.wait(30)
        raise DependencyAway(Dependency.MEDIA_STORE, ErrorCode.MEDIA_UNAVAILABLE, "the line was cut")


def test_a_relay_that_waits_for_an_answer_can_be_left_and_cut_off(office: Office) -> None:
    hanging = HangingPublisher()
    relay = Relay(Dependency.MEDIA_STORE, hanging, office.outages, poll_interval=3600)
    relay.start()
    assert hanging.asked.wait(30)
    relay.stop(patience=0.05)
    assert relay.state().running
    hanging.cut.set()
    relay.stop()
    assert not relay.state().running
    assert office.outages.current() == []
