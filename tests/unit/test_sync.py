"""Uploads of results: rows, retries, and what becomes of them."""

from pathlib import Path

import pytest

from media_inference.artifacts.local_store import LocalStore
from media_inference.errors import Dependency, DependencyAway, ErrorCode, JobError, PermanentError, TransientError
from media_inference.jobs.job import Claim, JobStatus, NewJob
from media_inference.jobs.outcome import Artifact, EmbeddingSet, Findings
from media_inference.jobs.retry import Backoff
from media_inference.media.store import ResultUpload
from media_inference.publisher.uploads import UploadPublisher
from media_inference.queue.engine import open_engine
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.migrate import migrate
from media_inference.queue.outbox import Outbox
from media_inference.queue.repairs import Repairs
from media_inference.queue.sync import SyncRecords

AWAY = DependencyAway(Dependency.MEDIA_STORE, ErrorCode.MEDIA_UNAVAILABLE, "nobody there")
BUSY = TransientError(ErrorCode.MEDIA_UNAVAILABLE, "busy", retry_after=30.0)
REFUSED = PermanentError(ErrorCode.UPLOAD_REJECTED, "not wanted")
HOUR = 3600.0


class Office:
    """A queue whose results are wanted, and a media store that answers what the test says."""

    def __init__(self, folder: Path) -> None:
        engine = open_engine(f"sqlite:///{folder}/test.db")
        migrate(engine)
        self.now = 1_700_000_000_000
        self.queue = JobQueue(engine, self.clock, uploads=True)
        self.sync = SyncRecords(engine, self.clock)
        self.files = LocalStore(folder / "jobs")
        self.answer: Exception | None = None
        self.poisoned: str | None = None
        self.received: list[tuple[str, ResultUpload]] = []
        self.publisher = UploadPublisher(
            self.sync, self, self.files, HOUR, Backoff(first=1.0, longest=100.0), chance=lambda: 1.0
        )

    def clock(self) -> int:
        return self.now

    def upload(self, media_store_id: str, upload: ResultUpload) -> None:
        self.received.append((media_store_id, upload))
        if self.answer is not None and self.poisoned in {None, upload.job_id}:
            raise self.answer

    def check(self) -> None:
        """It can be reached."""

    def close(self) -> None:
        """Nothing to let go."""

    def claim(self, media_store_id: str = "7") -> Claim:
        self.queue.submit(NewJob("face_detection", media_store_id))
        claim = self.queue.claim("w")
        assert claim is not None
        return claim

    def settle(self) -> str:
        claim = self.claim()
        crop = Artifact("faces/0.jpg", b"a crop")
        staged = self.files.stage(claim.job_id, claim.lease_token, [crop])
        found = Findings({"face_count": 1}, artifacts=(crop,), model="mtcnn")
        assert self.queue.settle(claim, found, staged.promote)
        return claim.job_id

    def state(self, job_id: str) -> tuple[str, int, int | None, str | None]:
        sync = self.sync.of_job(job_id)
        assert sync is not None
        wait = None if sync.next_attempt_at is None else sync.next_attempt_at - self.now
        return sync.status, sync.attempts, wait, sync.last_error


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_completed_job_is_reported_once_with_its_crops(office: Office) -> None:
    job_id = office.settle()
    assert office.state(job_id) == ("pending", 0, 0, None)
    assert office.publisher.publish_some() == 1
    assert office.state(job_id) == ("synced", 1, None, None)
    ((media_store_id, upload),) = office.received
    assert (media_store_id, upload.job_id, upload.task_type) == ("7", job_id, "face_detection")
    assert (upload.model, upload.result) == ("mtcnn", {"face_count": 1})
    assert [(name, path.read_bytes()) for name, path in upload.crops] == [("face_0", b"a crop")]
    assert office.publisher.publish_some() == 0


def test_the_answer_to_an_older_report_says_nothing_of_the_result_of_a_job_that_ran_again(office: Office) -> None:
    job_id = office.settle()
    (older,) = office.sync.due(10)
    office.now += 1
    Repairs(office.queue._engine, office.clock).run_again([job_id])
    claim = office.queue.claim("w")
    assert claim is not None
    assert office.queue.settle(claim, Findings({"face_count": 0}), lambda: None)
    for note in (office.sync.synced, lambda upload: office.sync.fail(upload, "refused")):
        note(older)
        assert office.state(job_id) == ("pending", 0, 0, None)


def test_a_job_that_failed_is_not_reported(office: Office) -> None:
    office.queue.fail(office.claim(), PermanentError(ErrorCode.IMAGE_CORRUPT, "x"))
    assert office.publisher.publish_some() == 0


def test_a_queue_without_uploads_leaves_no_rows(office: Office) -> None:
    claim = office.claim()
    JobQueue(office.queue._engine, office.clock).settle(claim, Findings({}), lambda: None)
    assert office.sync.of_job(claim.job_id) is None


def test_a_failing_upload_is_retried_on_its_own_clock_with_growing_delays(office: Office) -> None:
    job_id = office.settle()
    office.answer = TransientError(ErrorCode.MEDIA_UNAVAILABLE, "500")
    waits = []
    for _ in range(3):
        assert office.publisher.publish_some() == 1
        assert office.publisher.publish_some() == 0
        status, _, wait, error = office.state(job_id)
        assert (status, error) == ("pending", "500")
        assert wait is not None
        waits.append(wait)
        office.now += wait
    assert waits == [1000, 2000, 4000]
    office.answer = None
    office.publisher.publish_some()
    assert office.state(job_id) == ("synced", 4, None, None)


def test_a_store_that_asks_to_be_left_alone_is(office: Office) -> None:
    job_id = office.settle()
    office.answer = BUSY
    office.publisher.publish_some()
    assert office.state(job_id) == ("pending", 1, 30_000, "busy")


def test_a_store_that_is_away_charges_no_attempt_and_stops_the_round(office: Office) -> None:
    job_ids = [office.settle() for _ in range(3)]
    office.answer = AWAY
    with pytest.raises(DependencyAway):
        office.publisher.publish_some()
    assert len(office.received) == 1
    assert {office.state(job_id) for job_id in job_ids} == {("pending", 0, 0, None)}


def test_an_upload_that_is_refused_fails_and_can_be_started_again(office: Office) -> None:
    job_id = office.settle()
    office.answer = REFUSED
    office.publisher.publish_some()
    assert office.state(job_id) == ("failed", 1, None, "not wanted")
    assert office.sync.counts() == {"pending": 0, "synced": 0, "failed": 1}
    assert office.publisher.publish_some() == 0
    office.answer = None
    assert office.sync.restart_failed() == 1
    assert office.sync.restart_failed() == 0
    office.publisher.publish_some()
    assert office.state(job_id) == ("synced", 2, None, None)


@pytest.mark.parametrize("answer", [AWAY, BUSY])
def test_an_upload_is_given_up_when_it_is_too_old_and_a_restart_gives_it_its_full_time_again(
    office: Office, answer: JobError
) -> None:
    job_id = office.settle()
    office.answer = answer
    office.now += int(HOUR * 1000) + 1
    office.publisher.publish_some()
    status, _, _, error = office.state(job_id)
    assert (status, error) == ("failed", answer.message)
    office.sync.restart_failed()
    office.now += 10_000
    if answer is AWAY:
        with pytest.raises(DependencyAway):
            office.publisher.publish_some()
    else:
        office.publisher.publish_some()
    assert office.state(job_id)[0] == "pending"


def test_a_cleanup_spares_a_job_until_its_report_has_arrived(office: Office) -> None:
    job_id = office.settle()
    records = JobRecords(office.queue._engine, office.clock)

    def cleaned() -> tuple[str, ...]:
        return records.clean_up(0, (JobStatus.COMPLETED,), dry_run=False, removed=lambda _ids: None).job_ids

    assert cleaned() == ()
    office.publisher.publish_some()
    assert cleaned() == (job_id,)


def test_a_deleted_job_is_no_longer_reported(office: Office) -> None:
    job_id = office.settle()
    office.queue.delete(job_id)
    assert office.publisher.publish_some() == 0
    assert office.sync.of_job(job_id) is None


def test_an_upload_that_ends_in_an_error_that_nobody_foresaw_holds_up_no_other(office: Office) -> None:
    poisoned, other = office.settle(), office.settle()
    office.answer, office.poisoned = ValueError("secret of the inside"), poisoned
    while office.publisher.publish_some():
        pass
    status, attempts, wait, error = office.state(poisoned)
    assert (status, attempts, wait) == ("pending", 1, 1000)
    assert "secret" not in (error or "")
    assert office.state(other)[0] == "synced"


def test_a_result_is_not_reported_without_the_crops_that_it_had(office: Office) -> None:
    job_id = office.settle()
    office.files.remove(job_id)
    office.publisher.publish_some()
    assert office.received == []
    assert office.state(job_id) == ("failed", 1, None, "a crop is no longer there")


def test_an_upload_has_its_full_time_from_when_its_job_is_completed(office: Office) -> None:
    claim = office.claim()
    found = EmbeddingSet("faces", "m", ())
    assert office.queue.settle(claim, Findings({}, found), lambda: None)
    office.now += int(2 * HOUR * 1000)  # for so long the vector store was away
    outbox = Outbox(office.queue._engine, office.clock)
    (entry,) = outbox.waiting(1)
    outbox.acknowledge(entry)
    office.answer = TransientError(ErrorCode.MEDIA_UNAVAILABLE, "500")
    office.publisher.publish_some()
    assert office.state(claim.job_id) == ("pending", 1, 1000, "500")
