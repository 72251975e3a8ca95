"""What changes while an audit looks is no finding, and what it mends meanwhile harms nobody."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from media_inference.artifacts.shelf import Shelf
from media_inference.audit.files import FileCheck
from media_inference.audit.leftovers import LeftoverCheck
from media_inference.audit.point_mending import OutboxMending
from media_inference.jobs.job import JobStatus
from media_inference.jobs.outcome import Embedding, EmbeddingSet, Findings, PointId
from media_inference.queue.inventory import Inventory
from media_inference.queue.repairs import Repairs
from media_inference.queue.rules import Rules
from media_inference.tasks.catalog import TASKS
from media_inference.vectors.edge_store import EdgeStore
from media_inference.vectors.store import FACES, Point
from tests.stands.archive import MODEL, Archive, kinds, unit_vector


class OvertakenStore(EdgeStore):
    """The real store; each hook is called once, just before it is read in that way."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.before: dict[str, Callable[[], object]] = {}

    def retrieve(self, collection: str, ids: Sequence[PointId]) -> list[Point]:
        self.before.pop("retrieve", lambda: None)()
        return super().retrieve(collection, ids)

    def scroll(self, collection: str, page: int = 500) -> Iterator[list[Point]]:
        self.before.pop("scroll", lambda: None)()
        return super().scroll(collection, page)


class OvertakenShelf(Shelf):
    """The real shelf; ``before`` is called once, just before a job's files are looked at."""

    before: Callable[[], object] = staticmethod(lambda: None)

    def sizes(self, job_id: str) -> dict[str, int]:
        before, self.before = self.before, lambda: None
        before()
        return super().sizes(job_id)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OvertakenStore]:
    store = OvertakenStore(tmp_path / "qdrant")
    yield store
    store.close()


@pytest.fixture
def archive(tmp_path: Path, store: OvertakenStore) -> Archive:
    archive = Archive(tmp_path, store)
    archive.embed_faces("7", faces=3)
    archive.publish()
    return archive


def test_a_set_that_is_replaced_between_two_looks_is_no_finding(archive: Archive, store: OvertakenStore) -> None:
    def replace() -> None:
        archive.embed_faces("7", faces=2, seed=9)
        archive.publish()

    store.before["retrieve"] = replace
    assert kinds(archive.audit(fix=True)) == []
    assert store.count(FACES) == 2


def test_points_that_are_published_while_it_looks_for_orphans_are_none(archive: Archive, store: OvertakenStore) -> None:
    def publish() -> None:
        archive.embed_faces("8", faces=2)
        archive.publish()

    store.before["scroll"] = publish
    assert kinds(archive.audit(fix=True)) == []
    assert store.count(FACES) == 5


def test_a_job_that_is_deleted_while_its_files_are_looked_at_is_no_finding(archive: Archive, tmp_path: Path) -> None:
    job_id = archive.detect_faces("7", faces=1)
    shelf = OvertakenShelf(tmp_path / "jobs")

    def delete() -> None:
        archive.queue.delete(job_id)
        archive.files.remove(job_id)

    shelf.before = delete
    inventory = Inventory(archive.engine)
    promises = {task.type: task.files for task in TASKS.values() if task.files is not None}
    assert list(FileCheck(inventory, shelf, promises, Repairs(archive.engine))()) == []


def test_files_that_are_just_being_removed_are_no_leftovers(archive: Archive, tmp_path: Path) -> None:
    job_id = archive.detect_faces("7", faces=1)
    archive.queue.delete(job_id)
    pauses: list[str] = []

    def pause() -> None:
        pauses.append("paused")
        archive.files.remove(job_id)

    check = LeftoverCheck(Inventory(archive.engine), Shelf(tmp_path / "jobs"), archive.files, pause)
    assert (list(check()), pauses) == ([], ["paused"])


def test_an_attempt_that_begins_while_it_looks_is_not_abandoned(archive: Archive, tmp_path: Path) -> None:
    class LateShelf(Shelf):
        def staged(self) -> list[str]:
            claim = archive.claim("face_detection", "7")
            archive.files.stage(claim.job_id, claim.lease_token, [])
            (tmp_path / "jobs" / ".staging" / claim.lease_token).mkdir(exist_ok=True)
            return super().staged()

    check = LeftoverCheck(Inventory(archive.engine), LateShelf(tmp_path / "jobs"), archive.files, lambda: None)
    assert list(check()) == []


def test_a_row_that_was_put_right_meanwhile_is_left_alone(archive: Archive) -> None:
    job_id = archive.embed_faces("8", faces=1)
    archive.sql("DELETE FROM outbox")
    rules = Rules(archive.engine)
    (rule,) = (rule for rule in rules.of_jobs if rule.name == "set_not_in_outbox")
    ((set_id,),) = list(rules.broken(rule))
    archive.sql("UPDATE embedding_sets SET published_at = 1 WHERE set_id = ?", set_id)
    rules.mend(rule, [set_id])
    assert archive.outbox.waiting(10) == []
    assert archive.status(job_id) is JobStatus.PROCESSING


def test_points_that_are_published_while_an_orphan_is_deleted_come_back(
    archive: Archive, store: OvertakenStore
) -> None:
    mending = OutboxMending(store, Inventory(archive.engine), Repairs(archive.engine))
    mending.delete(FACES, [7001])
    archive.publish()
    assert [point.id for point in store.retrieve(FACES, [7000, 7001, 7002])] == [7000, 7001, 7002]


def test_a_job_that_runs_again_is_not_completed_by_an_older_outcome(archive: Archive) -> None:
    ((job,),) = list(Inventory(archive.engine).settled_jobs())
    repairs = Repairs(archive.engine)
    repairs.publish_again([1])
    repairs.run_again([job.job_id])
    claim = archive.queue.claim("worker-2")
    assert claim is not None
    archive.publish()
    assert archive.status(job.job_id) is JobStatus.PROCESSING
    assert archive.queue.renew(claim)


def test_a_job_that_ran_again_is_completed_by_its_own_outcome_alone(archive: Archive) -> None:
    ((job,),) = list(Inventory(archive.engine).settled_jobs())
    repairs = Repairs(archive.engine)
    repairs.publish_again([1])
    repairs.run_again([job.job_id])
    claim = archive.queue.claim("worker-2")
    assert claim is not None
    embedding = Embedding(7000, unit_vector(99), {})
    archive.settle(claim, Findings({}, EmbeddingSet(FACES, MODEL, (embedding,)), (), MODEL))
    older, newer = archive.outbox.waiting(10)
    archive.outbox.acknowledge(older)
    assert archive.status(job.job_id) is JobStatus.PROCESSING, "its new vectors are not searchable yet"
    archive.outbox.acknowledge(newer)
    assert archive.status(job.job_id) is JobStatus.COMPLETED
