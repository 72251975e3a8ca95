"""Events that do not agree with the jobs that they tell of are found, and told anew where that helps."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from media_inference.errors import ErrorCode, PermanentError
from media_inference.jobs.job import NewJob
from tests.stands.archive import Archive, edge_archive, kinds


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with edge_archive(tmp_path) as archive:
        yield archive


def completed(archive: Archive) -> str:
    job_id = archive.embed_image("7")
    archive.publish()
    return job_id


def failed(archive: Archive) -> str:
    claim = archive.claim("face_detection", "7")
    archive.queue.fail(claim, PermanentError(ErrorCode.IMAGE_CORRUPT, "the picture is damaged"))
    return claim.job_id


def waiting(archive: Archive) -> str:
    return archive.queue.submit(NewJob("face_detection", "7")).job_id


def forget_end(archive: Archive, job_id: str) -> None:
    archive.sql("DELETE FROM events WHERE job_id = ? AND type IN ('completed', 'failed')", job_id)


def tell(event_type: str) -> Callable[[Archive, str], None]:
    """Writes an event that nothing in the product would write."""

    def damage(archive: Archive, job_id: str) -> None:
        about = "SELECT job_id, ?, at, data FROM events WHERE job_id = ? LIMIT 1"
        archive.sql(f"INSERT INTO events (job_id, type, at, data) {about}", event_type, job_id)

    return damage


def forget_all(archive: Archive, job_id: str) -> None:
    """As no trimming does: an older event of another job stays."""
    archive.sql("UPDATE events SET at = 0 WHERE job_id <> ?", job_id)
    archive.sql("DELETE FROM events WHERE job_id = ?", job_id)


Case = tuple[Callable[[Archive], str], Callable[[Archive, str], object], str, str]

CASES: dict[str, Case] = {
    "completed, and nobody was told": (completed, forget_end, "end_not_told", "queued started1 completed1"),
    "failed, and nobody was told": (failed, forget_end, "end_not_told", "queued started1 failed1"),
    "completed, and nothing told": (completed, forget_all, "end_not_told", "completed1"),
    "completed, and told as failed": (
        completed,
        lambda a, job_id: a.sql("UPDATE events SET type = 'failed' WHERE job_id = ? AND type = 'completed'", job_id),
        "another_end_told",
        "queued started1 failed1 queued completed1",
    ),
    "waiting, and told as completed": (waiting, tell("completed"), "end_told_too_early", "queued completed queued"),
    "waiting, and told as deleted": (waiting, tell("deleted"), "deletion_told_of_job", "queued deleted queued"),
    "completed, and told as deleted": (
        completed,
        tell("deleted"),
        "deletion_told_of_job",
        "queued started1 completed1 deleted queued completed1",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_event_that_disagrees_with_its_job_is_found_and_the_job_told_anew(archive: Archive, case: str) -> None:
    completed(archive)
    make, damage, kind, story = CASES[case]
    job_id = make(archive)
    assert kinds(archive.audit()) == []
    damage(archive, job_id)
    found = archive.audit()
    assert (kinds(found), [finding.id for finding in found.shown]) == ([kind], [job_id])
    assert archive.audit(fix=True).left == 0
    assert kinds(archive.audit()) == []
    assert archive.story(job_id) == story


def test_the_end_that_is_told_late_has_the_error_of_the_job(archive: Archive) -> None:
    job_id = failed(archive)
    (told,) = archive.sql("SELECT data FROM events WHERE type = 'failed'")
    forget_end(archive, job_id)
    archive.audit(fix=True)
    assert archive.sql("SELECT data FROM events WHERE type = 'failed'") == [told]


def test_two_ends_of_one_life_can_not_be_taken_back_and_the_audit_says_so(archive: Archive) -> None:
    job_id = completed(archive)
    tell("completed")(archive, job_id)
    report = archive.audit(fix=True)
    assert (kinds(report), report.left) == (["end_told_twice"], 1)
    assert {finding.remedy for finding in report.shown} == {None}


def test_a_job_that_ran_again_has_an_end_in_each_life_and_is_no_finding(archive: Archive) -> None:
    job_id = completed(archive)
    archive.sql("UPDATE jobs SET result = NULL WHERE job_id = ?", job_id)
    report = archive.audit(fix=True)
    assert (report.left, "end_told_too_early" in report.found) == (0, False)
    claim = archive.queue.claim("worker-2")
    assert claim is not None
    archive.queue.release(claim)
    again = archive.queue.claim("worker-2")
    assert again is not None
    archive.queue.fail(again, PermanentError(ErrorCode.IMAGE_CORRUPT, "the picture is damaged"))
    assert archive.story(job_id) == "queued started1 completed1 queued started2 failed2"
    archive.files.remove(job_id)
    assert kinds(archive.audit()) == []


def test_events_that_were_trimmed_are_not_missed(archive: Archive) -> None:
    job_id = completed(archive)
    archive.sql("UPDATE jobs SET completed_at = 1000 WHERE job_id = ?", job_id)
    waiting(archive)
    archive.sql("DELETE FROM events WHERE job_id = ?", job_id)
    assert kinds(archive.audit()) == []


def test_jobs_from_before_there_were_events_are_no_findings(archive: Archive) -> None:
    completed(archive)
    failed(archive)
    archive.sql("DELETE FROM events")
    assert kinds(archive.audit()) == []
