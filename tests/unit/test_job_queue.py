"""The queue's transactions, on a real SQLite file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from media_inference.errors import DatabaseUnavailable, ErrorCode, PermanentError, TransientError
from media_inference.jobs.job import Claim, JobStatus, NewJob
from media_inference.jobs.outcome import Artifact, Embedding, EmbeddingSet, Findings
from media_inference.queue.crashes import MOST_CRASHES
from media_inference.queue.engine import open_engine, writing
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.leases import LeaseWatch
from media_inference.queue.migrate import database_revision
from media_inference.queue.outbox import Outbox
from media_inference.queue.tables import embedding_sets, queue

NETWORK_GONE = TransientError(ErrorCode.MEDIA_UNAVAILABLE, "the media store did not answer")
FOUND_NOTHING = Findings({"faces": [], "face_count": 0})


def nothing() -> None:
    """No files to put in place."""


class Clock:
    """A clock that a test moves, in milliseconds."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(engine: sa.Engine, clock: Clock) -> JobQueue:
    return JobQueue(engine, clock)


@pytest.fixture
def records(engine: sa.Engine, clock: Clock) -> JobRecords:
    return JobRecords(engine, clock)


Submit = Callable[..., str]


@pytest.fixture
def submit(jobs: JobQueue) -> Submit:
    def submit(media: str = "1", task: str = "face_detection", priority: int = 5) -> str:
        return jobs.submit(NewJob(task, media, priority)).job_id

    return submit


def take(jobs: JobQueue, worker: str = "w") -> Claim:
    claim = jobs.claim(worker)
    assert claim is not None
    return claim


def face_set(*point_ids: int, model: str = "m") -> Findings:
    vector = np.full(512, 512**-0.5, np.float32)
    items = tuple(Embedding(point_id, vector, {"n": point_id}) for point_id in point_ids)
    return Findings({"face_count": len(items)}, EmbeddingSet("faces", model, items))


def test_claims_go_by_priority_then_first_in_first_out(jobs: JobQueue, submit: Submit) -> None:
    a, b, c, d = submit(priority=5), submit(priority=8), submit(priority=5), submit(priority=10)
    assert [take(jobs).job_id for _ in range(4)] == [d, b, a, c]
    assert jobs.claim("w") is None


def test_a_claim_counts_the_attempt_and_shows_the_job_as_processing(
    jobs: JobQueue, records: JobRecords, submit: Submit, clock: Clock
) -> None:
    job_id = submit()
    clock.now += 5
    claim = take(jobs)
    job = records.get(job_id)
    assert job is not None
    assert (job.status, job.attempts, job.started_at) == (JobStatus.PROCESSING, 1, clock.now)
    assert claim.attempt == 1


def test_a_settled_job_without_vectors_is_completed_at_once(
    jobs: JobQueue, records: JobRecords, submit: Submit
) -> None:
    job_id = submit()
    findings = Findings({"face_count": 0}, artifacts=(Artifact("faces/0.jpg", b"12345"),))
    assert jobs.settle(take(jobs), findings, nothing)
    job = records.get(job_id)
    assert job is not None
    assert (job.status, job.result) == (JobStatus.COMPLETED, {"face_count": 0})
    assert records.statistics().artifact_bytes == 5


def test_a_settled_job_with_vectors_is_completed_only_when_they_are_published(
    jobs: JobQueue, records: JobRecords, engine: sa.Engine, submit: Submit
) -> None:
    job_id = submit()
    jobs.settle(take(jobs), face_set(1, 2), nothing)
    waiting = records.get(job_id)
    assert waiting is not None
    assert (waiting.status, waiting.result) == (JobStatus.PROCESSING, None)
    outbox = Outbox(engine)
    (entry,) = outbox.waiting(10)
    publication = outbox.publications([entry])[0]
    assert [item.point_id for item in publication.embeddings] == [1, 2]
    assert publication.embeddings[0].vector.dtype == np.float32
    outbox.acknowledge(entry)
    job = records.get(job_id)
    assert job is not None
    assert job.status is JobStatus.COMPLETED
    assert outbox.waiting(10) == []


@pytest.mark.parametrize("act", ["settle", "fail", "retry", "renew"])
def test_a_lost_lease_changes_nothing(
    act: str, jobs: JobQueue, records: JobRecords, engine: sa.Engine, submit: Submit
) -> None:
    job_id = submit()
    lost = take(jobs, "first")
    jobs.charge_worker("first")
    held = take(jobs, "second")
    placed: list[str] = []
    outcomes: dict[str, Callable[[], bool | int]] = {
        "settle": lambda: jobs.settle(lost, face_set(1), lambda: placed.append("file")),
        "fail": lambda: jobs.fail(lost, PermanentError(ErrorCode.IMAGE_CORRUPT, "x")),
        "retry": lambda: jobs.retry(lost, NETWORK_GONE, 1.0),
        "renew": lambda: jobs.renew(lost),
    }
    assert not outcomes[act]()
    job = records.get(job_id)
    assert job is not None
    assert (job.status, job.error, placed) == (JobStatus.PROCESSING, None, [])
    assert Outbox(engine).waiting(10) == []
    assert jobs.settle(held, FOUND_NOTHING, nothing)


@pytest.mark.parametrize("act", ["settle", "fail", "retry", "release"])
def test_an_attempt_that_lost_its_lease_is_counted_once_however_it_ends(
    act: str, jobs: JobQueue, engine: sa.Engine, submit: Submit
) -> None:
    submit()
    lost = take(jobs, "first")
    jobs.charge_worker("first")
    jobs.renew(lost)
    outcomes: dict[str, Callable[[Claim], bool]] = {
        "settle": lambda claim: jobs.settle(claim, FOUND_NOTHING, nothing),
        "fail": lambda claim: jobs.fail(claim, PermanentError(ErrorCode.IMAGE_CORRUPT, "x")),
        "retry": lambda claim: jobs.retry(claim, NETWORK_GONE, 0.0),
        "release": jobs.release,
    }
    assert not outcomes[act](lost)
    assert outcomes[act](take(jobs, "second"))
    engine.dispose()
    assert JobRecords(engine).statistics().attempts_dropped == 1


def test_files_that_cannot_be_put_in_place_leave_the_job_unsettled(
    jobs: JobQueue, engine: sa.Engine, submit: Submit
) -> None:
    submit()
    claim = take(jobs)

    def no_room() -> None:
        raise TransientError(ErrorCode.STORAGE_FULL, "no room")

    with pytest.raises(TransientError):
        jobs.settle(claim, face_set(1), no_room)
    assert Outbox(engine).waiting(10) == []
    assert jobs.renew(claim)


def test_a_retry_waits_keeps_its_place_and_says_why(
    jobs: JobQueue, records: JobRecords, submit: Submit, clock: Clock
) -> None:
    first, second = submit(), submit()
    assert jobs.retry(take(jobs), NETWORK_GONE, delay=10.0)
    job = records.get(first)
    assert job is not None
    assert job.status is JobStatus.PENDING
    assert job.error is not None
    assert (job.error.code, job.error.retryable) == (ErrorCode.MEDIA_UNAVAILABLE, True)
    clock.now += 10_000
    again = take(jobs)
    assert (again.job_id, again.failures, again.attempt) == (first, 1, 2)
    assert take(jobs).job_id == second


def test_a_waiting_retry_does_not_hold_up_the_others(jobs: JobQueue, submit: Submit) -> None:
    submit(priority=10)
    other = submit(priority=0)
    jobs.retry(take(jobs), NETWORK_GONE, delay=60.0)
    assert take(jobs).job_id == other


def test_a_released_job_is_not_charged(jobs: JobQueue, records: JobRecords, submit: Submit) -> None:
    job_id = submit()
    take(jobs, "w")
    assert list(jobs.release_worker("w")) == [job_id]
    job = records.get(job_id)
    assert job is not None
    assert (job.status, job.attempts, job.started_at) == (JobStatus.PENDING, 0, None)


def test_a_job_that_crashed_its_worker_goes_behind_those_that_were_there_before_and_no_further(
    jobs: JobQueue, submit: Submit
) -> None:
    poison, *there_before = submit(), submit(), submit()
    assert take(jobs, "w").job_id == poison
    jobs.charge_worker("w")
    later = submit()
    assert [take(jobs).job_id for _ in range(4)] == [*there_before, poison, later]


def test_a_job_that_crashes_its_worker_three_times_fails_and_the_others_are_not_charged(
    jobs: JobQueue, records: JobRecords, submit: Submit
) -> None:
    poison, good = submit(priority=9), submit()
    for _ in range(MOST_CRASHES):
        assert take(jobs, "w").job_id == poison
        jobs.charge_worker("w")
    job = records.get(poison)
    assert job is not None
    assert job.error is not None
    assert (job.status, job.error.code, job.attempts) == (JobStatus.FAILED, ErrorCode.WORKER_CRASHED, 3)
    assert take(jobs).job_id == good


def test_a_deleted_job_is_gone_and_its_running_attempt_is_dropped(
    jobs: JobQueue, records: JobRecords, engine: sa.Engine, submit: Submit
) -> None:
    job_id = submit()
    claim = take(jobs)
    assert jobs.delete(job_id)
    assert not jobs.delete(job_id)
    assert jobs.settle(claim, face_set(1), nothing) is False
    assert records.get(job_id) is None
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(queue)) == 0


def test_vectors_of_a_deleted_job_stay_with_the_media_item(jobs: JobQueue, engine: sa.Engine, submit: Submit) -> None:
    job_id = submit()
    jobs.settle(take(jobs), face_set(1), nothing)
    jobs.delete(job_id)
    outbox = Outbox(engine)
    (entry,) = outbox.waiting(10)
    assert len(outbox.publications([entry])[0].embeddings) == 1
    outbox.acknowledge(entry)
    assert outbox.waiting(10) == []


def test_a_later_outcome_replaces_the_points_of_the_earlier_one(
    jobs: JobQueue, engine: sa.Engine, submit: Submit
) -> None:
    outbox = Outbox(engine)
    shown: set[object] = set()
    for found in ((1, 2, 3, 4, 5), (1, 2), (), (1, 2, 3)):
        submit()
        jobs.settle(take(jobs), face_set(*found), nothing)
        (entry,) = outbox.waiting(10)
        publication = outbox.publications([entry])[0]
        shown |= {item.point_id for item in publication.embeddings}
        shown -= set(publication.stale)
        outbox.acknowledge(entry)
        assert shown == set(found)
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(embedding_sets)) == 1


def test_sets_of_other_media_items_are_left_alone(jobs: JobQueue, engine: sa.Engine, submit: Submit) -> None:
    outbox = Outbox(engine)
    for media, point in (("1", 1000), ("2", 2000)):
        submit(media)
        jobs.settle(take(jobs), face_set(point), nothing)
    first, second = outbox.waiting(10)
    outbox.acknowledge(first)
    assert outbox.publications([second])[0].stale == ()
    outbox.acknowledge(second)
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(embedding_sets)) == 2


def test_an_outcome_older_than_the_last_applied_one_is_skipped(
    jobs: JobQueue, records: JobRecords, engine: sa.Engine, submit: Submit
) -> None:
    outbox = Outbox(engine)
    old = submit()
    submit()
    jobs.settle(take(jobs), face_set(1, 2), nothing)
    jobs.settle(take(jobs), face_set(1), nothing)
    older, newer = outbox.waiting(10)
    outbox.acknowledge(newer)
    assert outbox.publications([older])[0].superseded
    outbox.acknowledge(older)
    job = records.get(old)
    assert job is not None
    assert job.status is JobStatus.COMPLETED


def test_a_collection_keeps_to_the_model_of_its_first_vector(
    jobs: JobQueue, records: JobRecords, submit: Submit
) -> None:
    submit()
    jobs.settle(take(jobs), face_set(1, model="one"), nothing)
    assert records.models() == {"faces": "one"}
    submit()
    with pytest.raises(PermanentError) as refusal:
        jobs.settle(take(jobs), face_set(1, model="other"), nothing)
    assert refusal.value.code is ErrorCode.MODEL_UNAVAILABLE


def test_a_lease_is_silent_only_when_its_counter_stands_still(
    jobs: JobQueue, engine: sa.Engine, submit: Submit
) -> None:
    time = [0.0]
    watch = LeaseWatch(engine, patience=10.0, monotonic=lambda: time[0])
    submit()
    claim = take(jobs, "w")
    assert watch.silent() == []
    time[0] = 9.0
    jobs.renew(claim)
    assert watch.silent() == []
    time[0] = 18.0
    assert watch.silent() == []
    time[0] = 20.0
    (lease,) = watch.silent()
    assert (lease.lease_token, lease.worker_id) == (claim.lease_token, "w")
    jobs.charge_lease(lease.lease_token)
    assert watch.silent() == []


def test_a_watch_that_forgot_waits_anew_before_it_calls_a_lease_silent(
    jobs: JobQueue, engine: sa.Engine, submit: Submit
) -> None:
    time = [0.0]
    watch = LeaseWatch(engine, patience=10.0, monotonic=lambda: time[0])
    submit()
    take(jobs, "w")
    watch.silent()
    watch.forget()
    time[0] = 11.0
    assert watch.silent() == []
    time[0] = 22.0
    assert len(watch.silent()) == 1


def test_a_lease_is_not_silent_because_the_database_let_nobody_write(
    jobs: JobQueue, engine: sa.Engine, submit: Submit
) -> None:
    time = [0.0]
    watch = LeaseWatch(engine, patience=10.0, monotonic=lambda: time[0])

    def come_late(_connection: sa.Connection) -> None:
        time[0] += 15.0

    submit()
    take(jobs, "w")
    assert watch.silent() == []
    sa.event.listen(engine, "begin", come_late)
    assert watch.silent() == []
    sa.event.remove(engine, "begin", come_late)
    assert watch.silent() == []
    time[0] += 11.0
    assert len(watch.silent()) == 1


def test_a_lease_is_silent_in_the_end_although_every_look_has_to_wait_for_the_database(
    jobs: JobQueue, engine: sa.Engine, submit: Submit
) -> None:
    time = [0.0]
    watch = LeaseWatch(engine, patience=10.0, monotonic=lambda: time[0])

    def come_late(_connection: sa.Connection) -> None:
        time[0] += 1.5

    submit()
    take(jobs, "w")
    sa.event.listen(engine, "begin", come_late)
    looks = 0
    while not watch.silent():
        time[0] += 1.0
        looks += 1
        assert looks < 20
    assert looks == 11


def test_a_database_without_room_says_so_and_counts_as_away(engine: sa.Engine, jobs: JobQueue) -> None:
    with writing(engine) as tx:  # the connection of whatever is written next
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    fill = (jobs.submit(NewJob("t", "1")) for _ in range(10_000))
    with pytest.raises(TransientError) as full:
        list(fill)
    assert full.value.code is ErrorCode.STORAGE_FULL
    assert isinstance(full.value, DatabaseUnavailable)


def test_a_file_that_is_no_database_counts_as_away(tmp_path: Path) -> None:
    (tmp_path / "garbage.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(DatabaseUnavailable):
        database_revision(open_engine(f"sqlite:///{tmp_path}/garbage.db"))


def test_cleanup_removes_only_finished_jobs_that_are_old_enough(
    jobs: JobQueue, records: JobRecords, submit: Submit, clock: Clock
) -> None:
    old, failed = submit(), submit()
    jobs.settle(take(jobs), Findings({}, artifacts=(Artifact("faces/0.jpg", b"123"),)), nothing)
    jobs.fail(take(jobs), PermanentError(ErrorCode.IMAGE_CORRUPT, "x"))
    clock.now += 1000
    young, pending = submit(), submit()
    jobs.settle(take(jobs), FOUND_NOTHING, nothing)
    removed: list[str] = []
    both = (JobStatus.COMPLETED, JobStatus.FAILED)
    looked = records.clean_up(1000, both, dry_run=True, removed=removed.extend)
    assert (set(looked.job_ids), looked.files, looked.bytes, removed) == ({old, failed}, 1, 3, [])
    records.clean_up(1000, (JobStatus.COMPLETED,), dry_run=False, removed=removed.extend)
    assert removed == [old]
    assert records.existing([old, failed, young, pending]) == {failed, young, pending}


def test_statistics_count_jobs_and_what_waits(
    jobs: JobQueue, records: JobRecords, submit: Submit, clock: Clock
) -> None:
    submit(priority=3)
    submit(task="image_embedding", priority=3)
    submit(priority=9)
    take(jobs)
    clock.now += 250
    found = records.statistics()
    assert found.jobs_by_status == {"pending": 2, "processing": 1, "completed": 0, "failed": 0}
    assert found.jobs_by_task_type == {"face_detection": 2, "image_embedding": 1}
    assert found.waiting_by_priority == {3: 2}
    assert found.oldest_waiting_ms == 250


def test_a_job_is_on_disk_when_submit_returns(tmp_path: Path, engine: sa.Engine, submit: Submit) -> None:
    job_id = submit()
    other = open_engine(f"sqlite:///{tmp_path}/test.db")
    assert JobRecords(other).get(job_id) is not None
    with other.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    other.dispose()


def test_times_are_taken_once_nobody_else_can_write_so_that_they_follow_each_other(engine: sa.Engine) -> None:
    order = list[str]()

    def clock() -> int:
        order.append("clock")
        return 1_700_000_000_000

    sa.event.listen(engine, "begin", lambda _connection: order.append("begin"))
    jobs = JobQueue(engine, clock)
    for change in (
        lambda: jobs.submit(NewJob("face_detection", "1")),
        lambda: jobs.settle(take(jobs, "w"), Findings({"face_count": 0}), lambda: None),
    ):
        change()
    assert order == ["begin", "clock"] * (len(order) // 2)
    assert len(order) == 6
