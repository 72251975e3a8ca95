"""One attempt at one job: every way it can end."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.artifacts.local_store import LocalStore
from media_inference.errors import (
    DatabaseUnavailable,
    Dependency,
    DependencyAway,
    ErrorCode,
    PermanentError,
    TransientError,
)
from media_inference.jobs.job import Claim, Job, JobStatus, NewJob
from media_inference.jobs.outcome import Artifact, Findings
from media_inference.media.decoder import Decoder
from media_inference.media.folder_store import FolderStore
from media_inference.media.reader import Media, MediaReader
from media_inference.queue.engine import open_engine
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.migrate import migrate
from media_inference.tasks.task import Task
from media_inference.tasks.toolbox import Toolbox
from media_inference.worker.run_job import MOST_RELEASES, Ending, JobRunner
from media_inference.worker.settler import Settler
from tests.stands.model_files import builtin_toolbox

Find = Callable[[Claim, Media, Toolbox], Findings]

AWAY = DependencyAway(Dependency.MEDIA_STORE, ErrorCode.MEDIA_UNAVAILABLE, "nobody there")
FILE = Artifact("faces/0.jpg", b"a crop")


class Workshop:
    """A queue with one job and a runner whose only task is the test's."""

    def __init__(self, folder: Path) -> None:
        self.engine = open_engine(f"sqlite:///{folder}/test.db")
        migrate(self.engine)
        self.now = 1_700_000_000_000
        self.queue = JobQueue(self.engine, self.clock)
        self.records = JobRecords(self.engine, self.clock)
        self.files = LocalStore(folder / "jobs")
        self.media = folder / "media"
        self.media.mkdir()
        (self.media / "1").write_bytes(b"not looked at")
        self.decoder = Decoder()
        self.away: list[DependencyAway] = []
        self.job_id = self.queue.submit(NewJob("test", "1")).job_id

    def clock(self) -> int:
        return self.now

    def claim(self) -> Claim:
        claim = self.queue.claim("w")
        assert claim is not None
        return claim

    def runner(self, find: Find) -> JobRunner:
        return JobRunner(
            queue=self.queue,
            settler=Settler(self.queue.settle_some),
            media=MediaReader(FolderStore(self.media), self.decoder),
            tasks={"test": Task("test", "does what the test wants", find, makes_vectors=True)},
            toolbox=builtin_toolbox(),
            artifacts=self.files,
            max_retries=2,
            on_away=self.away.append,
            chance=lambda: 0.0,
        )

    def job(self) -> Job:
        job = self.records.get(self.job_id)
        assert job is not None
        return job

    def staged(self) -> list[Path]:
        return [path for path in self.files_folder.rglob("*") if path.is_file()]

    @property
    def files_folder(self) -> Path:
        return self.media.parent / "jobs"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def raising(error: BaseException) -> Find:
    def find(_claim: Claim, _media: Media, _toolbox: Toolbox) -> Findings:
        raise error

    return find


def finding(findings: Findings) -> Find:
    return lambda _claim, _media, _toolbox: findings


def test_what_a_task_found_is_settled_with_its_files(workshop: Workshop) -> None:
    claim = workshop.claim()
    ending = workshop.runner(finding(Findings({"n": 1}, artifacts=(FILE,)))).run(claim)
    job = workshop.job()
    assert (ending, job.status, job.result) == (Ending.SETTLED, JobStatus.COMPLETED, {"n": 1})
    place = workshop.files.path(job.job_id, FILE.name)
    assert place is not None
    assert place.read_bytes() == FILE.content
    assert workshop.staged() == [place]


def test_a_permanent_error_fails_the_job_at_once(workshop: Workshop) -> None:
    error = PermanentError(ErrorCode.IMAGE_CORRUPT, "the picture is damaged")
    assert workshop.runner(raising(error)).run(workshop.claim()) is Ending.FAILED
    job = workshop.job()
    assert job.error is not None
    assert (job.status, job.attempts, job.error.code) == (JobStatus.FAILED, 1, ErrorCode.IMAGE_CORRUPT)


def test_a_transient_error_is_retried_with_growing_delays_until_the_retries_are_spent(workshop: Workshop) -> None:
    runner = workshop.runner(raising(TransientError(ErrorCode.MEDIA_UNAVAILABLE, "no answer")))
    endings, waits = [], []
    for _ in range(3):
        before = workshop.now
        while (claim := workshop.queue.claim("w")) is None:
            workshop.now += 100
        waits.append(workshop.now - before)
        endings.append(runner.run(claim))
    assert endings == [Ending.RETRIED, Ending.RETRIED, Ending.FAILED]
    assert waits == [0, 500, 1000]
    assert workshop.job().attempts == 3


def test_a_retry_waits_as_long_as_the_other_side_asked(workshop: Workshop) -> None:
    error = TransientError(ErrorCode.MEDIA_UNAVAILABLE, "busy", retry_after=60.0)
    workshop.runner(raising(error)).run(workshop.claim())
    workshop.now += 59_999
    assert workshop.queue.claim("w") is None
    workshop.now += 1
    assert workshop.queue.claim("w") is not None


def test_a_job_whose_dependency_is_away_waits_uncharged_and_the_breaker_hears_of_it(workshop: Workshop) -> None:
    runner = workshop.runner(raising(AWAY))
    assert [runner.run(workshop.claim()) for _ in range(5)] == [Ending.RELEASED] * 5
    job = workshop.job()
    assert (job.status, job.attempts, job.error) == (JobStatus.PENDING, 0, None)
    assert workshop.away == [AWAY] * 5


def test_a_job_that_makes_its_dependency_look_away_again_and_again_is_charged_in_the_end(workshop: Workshop) -> None:
    runner = workshop.runner(
        raising(DependencyAway(Dependency.MEDIA_STORE, ErrorCode.MEDIA_UNAVAILABLE, "nobody there"))
    )
    endings = []
    while workshop.job().status is not JobStatus.FAILED:
        while (claim := workshop.queue.claim("w")) is None:
            workshop.now += 1000
        endings.append(runner.run(claim))
    assert endings == [Ending.RELEASED] * MOST_RELEASES + [Ending.RETRIED] * 2 + [Ending.FAILED]


@pytest.mark.parametrize("error", [ValueError("secret of the inside"), MemoryError(), KeyError("x")])
def test_an_unexpected_error_is_internal_and_tells_nothing_of_the_inside(workshop: Workshop, error: Exception) -> None:
    assert workshop.runner(raising(error)).run(workshop.claim()) is Ending.RETRIED
    job = workshop.job()
    assert job.error is not None
    assert job.error.code is ErrorCode.INTERNAL
    assert "secret" not in job.error.message


def test_a_media_item_that_is_not_there_is_media_not_found(workshop: Workshop) -> None:
    (workshop.media / "1").unlink()
    assert workshop.runner(finding(Findings({}))).run(workshop.claim()) is Ending.FAILED
    error = workshop.job().error
    assert error is not None
    assert error.code is ErrorCode.MEDIA_NOT_FOUND


def test_a_task_that_this_worker_does_not_know_fails_the_job(workshop: Workshop) -> None:
    other = workshop.queue.submit(NewJob("unheard-of", "1", priority=9))
    assert workshop.runner(finding(Findings({}))).run(workshop.claim()) is Ending.FAILED
    job = workshop.records.get(other.job_id)
    assert job is not None
    assert job.status is JobStatus.FAILED


def test_the_outcome_of_a_job_that_was_deleted_meanwhile_is_dropped_with_its_files(workshop: Workshop) -> None:
    def find_while_deleted(_claim: Claim, _media: Media, _toolbox: Toolbox) -> Findings:
        workshop.queue.delete(workshop.job_id)
        return Findings({}, artifacts=(FILE,))

    assert workshop.runner(find_while_deleted).run(workshop.claim()) is Ending.DROPPED
    assert workshop.records.get(workshop.job_id) is None
    assert workshop.staged() == []


def test_a_lost_lease_drops_the_outcome_and_keeps_the_files_of_the_new_attempt(workshop: Workshop) -> None:
    """The slow attempt finds its job given to another, which settles first."""
    fresh = Artifact("faces/0.jpg", b"of the second attempt")

    def find_slowly(_claim: Claim, _media: Media, _toolbox: Toolbox) -> Findings:
        workshop.queue.charge_worker("w")
        second = workshop.claim()
        workshop.runner(finding(Findings({"n": 2}, artifacts=(fresh,)))).run(second)
        return Findings({"n": 1}, artifacts=(FILE, Artifact("faces/1.jpg", b"stale")))

    assert workshop.runner(find_slowly).run(workshop.claim()) is Ending.DROPPED
    assert workshop.job().result == {"n": 2}
    assert [path.read_bytes() for path in workshop.staged()] == [fresh.content]


def test_a_job_is_given_back_when_the_database_forgot_its_tables(workshop: Workshop) -> None:
    """Nothing can be recorded then: the error reaches the loop, which waits and tries again."""
    claim = workshop.claim()
    with workshop.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE queue RENAME TO gone"))
    with pytest.raises(DatabaseUnavailable):
        workshop.runner(finding(Findings({}))).run(claim)
