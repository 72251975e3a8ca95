"""Requests for a job that is there already: by the same key, or for the same work."""

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.errors import ErrorCode, KeyReused, PermanentError
from media_inference.jobs.job import JobStatus, NewJob
from media_inference.jobs.outcome import Findings
from media_inference.queue.engine import open_engine
from media_inference.queue.events import EventLog
from media_inference.queue.intake import live_jobs_query
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.submission import IdempotencyKeys, Origin, RequestKey
from media_inference.queue.tables import idempotency_keys, jobs

PORTRAIT = NewJob("face_detection", "portrait-1", 5)
KEY = RequestKey("me", "key-1")


@pytest.fixture
def queue(engine: sa.Engine) -> JobQueue:
    return JobQueue(engine)


@pytest.fixture
def records(engine: sa.Engine) -> JobRecords:
    return JobRecords(engine)


def job_count(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(jobs)) or 0


def test_the_same_key_gives_the_same_job_and_the_same_answer(queue: JobQueue, engine: sa.Engine) -> None:
    first = queue.submit_once(PORTRAIT, KEY)
    again = queue.submit_once(PORTRAIT, KEY)
    assert (first.origin, again.origin) == (Origin.NEW, Origin.REPLAYED)
    assert again.job == first.job
    assert job_count(engine) == 1
    assert EventLog(engine).newest() == 1


@pytest.mark.parametrize(
    "other",
    [
        NewJob("image_embedding", "portrait-1", 5),
        NewJob("face_detection", "portrait-2", 5),
        NewJob("face_detection", "portrait-1", 6),
    ],
)
def test_a_key_that_comes_with_another_request_is_refused(queue: JobQueue, engine: sa.Engine, other: NewJob) -> None:
    queue.submit_once(PORTRAIT, KEY)
    with pytest.raises(KeyReused):
        queue.submit_once(other, KEY)
    assert job_count(engine) == 1


def test_two_clients_may_use_the_same_key(queue: JobQueue) -> None:
    mine = queue.submit_once(PORTRAIT, KEY)
    yours = queue.submit_once(NewJob("image_embedding", "2"), RequestKey("you", KEY.key))
    assert yours.origin is Origin.NEW
    assert yours.job.job_id != mine.job.job_id


def test_of_many_at_the_same_time_one_makes_the_job(tmp_path: Path, engine: sa.Engine) -> None:
    senders = 8
    together, answers = threading.Barrier(senders), list[tuple[str, Origin]]()

    def send() -> None:
        own = open_engine(f"sqlite:///{tmp_path}/test.db")
        queue = JobQueue(own)
        for number in range(5):
            together.wait()
            submission = queue.submit_once(PORTRAIT, RequestKey("me", f"key-{number}"))
            answers.append((submission.job.job_id, submission.origin))
        own.dispose()

    threads = [threading.Thread(target=send) for _ in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 5 * senders
    assert len({job_id for job_id, _ in answers}) == job_count(engine) == 5
    assert sum(origin is Origin.NEW for _, origin in answers) == 5


def test_what_became_of_the_job_does_not_change_the_answer(queue: JobQueue, engine: sa.Engine) -> None:
    first = queue.submit_once(PORTRAIT, KEY)
    claim = queue.claim("w")
    assert claim is not None
    assert queue.submit_once(PORTRAIT, KEY).job == first.job
    queue.fail(claim, PermanentError(ErrorCode.IMAGE_CORRUPT, "x"))
    assert queue.submit_once(PORTRAIT, KEY).job == first.job
    queue.delete(first.job.job_id)
    replayed = queue.submit_once(PORTRAIT, KEY)
    assert (replayed.job, replayed.origin) == (first.job, Origin.REPLAYED)
    assert job_count(engine) == 0, "what somebody deleted is not made again"


def test_a_job_that_could_not_be_written_leaves_no_key(queue: JobQueue, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TRIGGER full BEFORE INSERT ON queue BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(sa.exc.IntegrityError, match="full"):
        queue.submit_once(PORTRAIT, KEY)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")
    assert queue.submit_once(PORTRAIT, KEY).origin is Origin.NEW


def test_keys_are_forgotten_when_they_are_old_enough_and_not_before(engine: sa.Engine) -> None:
    now = [1_000_000]
    queue, keys = JobQueue(engine, lambda: now[0]), IdempotencyKeys(engine, lambda: now[0])
    for number in range(3):
        queue.submit_once(PORTRAIT, RequestKey("me", str(number)))
        now[0] += 100
    assert keys.trim(250) == 1
    assert keys.trim(250) == 0
    assert queue.submit_once(PORTRAIT, RequestKey("me", "0")).origin is Origin.NEW
    assert queue.submit_once(PORTRAIT, RequestKey("me", "1")).origin is Origin.REPLAYED


def test_keys_are_forgotten_in_small_transactions(engine: sa.Engine) -> None:
    row = {"subject": "me", "request_hash": "x", "job_id": "x", "created_at": 0}
    with engine.begin() as connection:
        connection.execute(idempotency_keys.insert(), [{"key": str(number), **row} for number in range(1200)])
    assert [IdempotencyKeys(engine).trim(1) for _ in range(4)] == [500, 500, 200, 0]


def test_a_request_for_what_waits_or_runs_gets_that_job(queue: JobQueue, engine: sa.Engine) -> None:
    first = queue.submit_or_share(PORTRAIT)
    waiting = queue.submit_or_share(PORTRAIT)
    queue.claim("w")
    running = queue.submit_or_share(PORTRAIT)
    assert [submission.origin for submission in (first, waiting, running)] == [Origin.NEW, Origin.SHARED, Origin.SHARED]
    assert {submission.job.job_id for submission in (first, waiting, running)} == {first.job.job_id}
    assert (waiting.job.status, running.job.status) == (JobStatus.PENDING, JobStatus.PROCESSING)
    assert job_count(engine) == 1
    assert [event.type for event in EventLog(engine).page(0, 10).events] == ["queued", "started"]


def test_a_request_for_anything_else_gets_a_job_of_its_own(queue: JobQueue) -> None:
    queue.submit_or_share(PORTRAIT)
    for other in (NewJob("image_embedding", "portrait-1"), NewJob("face_detection", "portrait-2")):
        assert queue.submit_or_share(other).origin is Origin.NEW


def test_finished_jobs_are_not_shared(queue: JobQueue) -> None:
    queue.submit_or_share(PORTRAIT)
    claim = queue.claim("w")
    assert claim is not None
    queue.settle(claim, Findings({}), lambda: None)
    assert queue.submit_or_share(PORTRAIT).origin is Origin.NEW
    claim = queue.claim("w")
    assert claim is not None
    queue.fail(claim, PermanentError(ErrorCode.IMAGE_CORRUPT, "x"))
    assert queue.submit_or_share(PORTRAIT).origin is Origin.NEW


def test_a_more_urgent_request_makes_the_shared_job_more_urgent(queue: JobQueue, records: JobRecords) -> None:
    shared = queue.submit_or_share(PORTRAIT).job.job_id
    other = queue.submit(NewJob("face_detection", "2", 7)).job_id
    assert queue.submit_or_share(NewJob("face_detection", "portrait-1", 9)).job.priority == 9
    assert queue.submit_or_share(NewJob("face_detection", "portrait-1", 0)).job.priority == 9
    job = records.get(shared)
    assert job is not None
    assert job.priority == 9
    order = [queue.claim("w"), queue.claim("w")]
    assert [claim.job_id for claim in order if claim is not None] == [shared, other]


def test_a_live_job_is_found_by_an_index_of_live_jobs_alone(engine: sa.Engine) -> None:
    query = live_jobs_query(["portrait-1", "portrait-2"]).compile(engine, compile_kwargs={"literal_binds": True})
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")
        steps = " ".join(str(row[3]) for row in plan)
    assert "USING INDEX ix_jobs_live (media_store_id=?)" in steps
