"""Whatever is wrong with what is kept is found, mended, and not found again."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from media_inference.errors import ErrorCode, PermanentError
from media_inference.jobs.job import JobStatus, NewJob
from media_inference.jobs.outcome import Artifact
from media_inference.vectors.edge_store import EdgeStore
from media_inference.vectors.store import FACES, IMAGE_EMBEDDINGS, Point
from tests.stands.archive import CROP, MODEL, Archive, edge_archive, kinds, unit_vector

Damage = Callable[[Archive, str, str], object]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with edge_archive(tmp_path) as archive:
        yield archive


def fill(archive: Archive) -> tuple[str, str]:
    """Photos 7 and "holiday" with their jobs; returns those of photo 7's picture and faces."""
    image = archive.embed_image("7")
    archive.embed_image("holiday", seed=2)
    faces = archive.embed_faces("7", faces=3)
    archive.embed_faces("holiday", faces=2, seed=3)
    archive.detect_faces("7", faces=1)
    archive.publish()
    return image, faces


def face(archive: Archive, index: int) -> Point:
    (found,) = archive.vectors.retrieve(FACES, [7000 + index])
    return found


def put(archive: Archive, point: Point, vector: np.ndarray, **payload: object) -> None:
    archive.vectors.upsert(FACES, [Point(point.id, vector.astype(np.float32), point.payload | payload)])


# What is done to an archive, and the kinds of finding that it must lead to. Mended, all is as it was before.
RESTORED: dict[str, tuple[Damage, list[str]]] = {
    "a point deleted": (lambda a, _image, _faces: a.vectors.delete(FACES, [7001]), ["point_missing"]),
    "a vector zeroed": (lambda a, _i, _f: put(a, face(a, 1), np.zeros(512)), ["point_zeroed"]),
    "another vector": (lambda a, _i, _f: put(a, face(a, 1), unit_vector(99)), ["point_stale"]),
    "the payload of another job": (
        lambda a, _i, _f: put(a, face(a, 1), face(a, 1).vector, job_id="another"),
        ["point_stale"],
    ),
    "another model": (lambda a, _i, _f: put(a, face(a, 1), face(a, 1).vector, model="m"), ["point_of_another_model"]),
    "a face that is none": (
        lambda a, _i, _f: put(a, Point(7003, unit_vector(1), {}), unit_vector(1)),
        ["point_orphaned"],
    ),
    "a point under a UUID": (
        lambda a, _i, _f: a.vectors.upsert(
            IMAGE_EMBEDDINGS, [Point("ac9d813a-bf71-5150-b2b3-e749787691f9", unit_vector(5), {"media_store_id": "x"})]
        ),
        ["point_orphaned"],
    ),
    "a vector file removed": (lambda a, _i, faces: a.path(faces, "faces/2.bin").unlink(), ["file_missing"]),
    "a vector file cut": (
        lambda a, _i, faces: a.path(faces, "faces/2.bin").write_bytes(bytes(100)),
        ["vector_file_damaged"],
    ),
    "a vector file that is not finite": (
        lambda a, image, _f: a.path(image, "embedding.bin").write_bytes(b"\xff" * 2048),
        ["vector_file_damaged"],
    ),
    "the vector file of another face": (
        lambda a, _i, faces: shutil.copy(a.path(faces, "faces/0.bin"), a.path(faces, "faces/1.bin")),
        ["vector_file_damaged"],
    ),
    "a file too many": (lambda a, _i, faces: a.path(faces, "faces/9.jpg").write_bytes(b"x"), ["file_unexpected"]),
    "the folder of no job": (
        lambda a, image, _f: shutil.copytree(a.path(image, ""), a.path("550e8400-e29b-41d4-a716-446655440000", "")),
        ["files_orphaned"],
    ),
    "an attempt left behind": (
        lambda a, image, _f: shutil.copytree(a.path(image, ""), a.folder / "jobs" / ".staging" / "abc.older"),
        ["files_staged"],
    ),
    "a queue row of a completed job": (
        lambda a, image, _f: a.sql("INSERT INTO queue (job_id, priority) VALUES (?, 5)", image),
        ["queue_row_of_finished_job"],
    ),
    "a queue row of no job": (
        lambda a, _i, _f: a.sql("INSERT INTO queue (job_id, priority) VALUES ('gone', 5)"),
        ["queue_row_without_job"],
    ),
    "an outbox row of no set": (
        lambda a, _i, _f: a.sql("INSERT INTO outbox (topic, set_id, created_at) VALUES ('vectors', 999, 0)"),
        ["outbox_row_without_set"],
    ),
    "a report of no job": (
        lambda a, _i, _f: a.sql(
            "INSERT INTO media_store_sync_status (job_id, media_store_id, status, created_at)"
            " VALUES ('gone', '1', 'pending', 0)"
        ),
        ["report_without_job"],
    ),
    "embeddings of no set": (
        lambda a, _i, _f: a.sql(
            "INSERT INTO embeddings (set_id, ordinal, point_id, vector, payload)"
            " SELECT 999, ordinal, point_id, vector, payload FROM embeddings WHERE set_id = 1"
        ),
        ["embeddings_without_set"],
    ),
    "a collection without a model": (
        lambda a, _i, _f: a.sql("DELETE FROM collections WHERE name = 'faces'"),
        ["collection_unknown"],
    ),
    "a settled job that was never completed": (
        lambda a, image, _f: (
            a.sql("UPDATE jobs SET status = 'processing' WHERE job_id = ?", image),
            a.sql("DELETE FROM events WHERE job_id = ? AND type = 'completed'", image),
        ),
        ["job_not_completed"],
    ),
    "a set that was replaced": (
        lambda a, _i, faces: a.sql(
            "INSERT INTO embedding_sets SELECT 0, collection, media_store_id, 'older', model, 1 FROM embedding_sets"
            " WHERE job_id = ?",
            faces,
        ),
        ["set_replaced"],
    ),
}


@pytest.mark.parametrize("damage", RESTORED)
def test_damage_is_found_mended_from_the_database_and_not_found_again(archive: Archive, damage: str) -> None:
    image, faces = fill(archive)
    before = archive.contents()
    assert kinds(archive.audit()) == []
    harm, expected = RESTORED[damage]
    harm(archive, image, faces)
    found = archive.audit()
    assert (kinds(found), found.left) == (expected, len(expected))
    assert kinds(archive.audit()) == expected, "an audit without --fix changed something"
    fixed = archive.audit(fix=True)
    assert (kinds(fixed), fixed.left) == (expected, 0)
    assert kinds(archive.audit()) == []
    assert archive.contents() == before


# What only the photo can bring back: the job runs again.
RUN_AGAIN: dict[str, tuple[Damage, str]] = {
    "a crop removed": (lambda a, _i, faces: a.path(faces, "faces/1.jpg").unlink(), "file_missing"),
    "a crop cut": (lambda a, _i, faces: cut(a.path(faces, "faces/1.jpg")), "crop_damaged"),
    "a crop of another size": (
        lambda a, _i, faces: a.path(faces, "faces/1.jpg").write_bytes(b"\xff\xd8\xff\xd9" * 9),
        "files_changed",
    ),
    "all files removed": (lambda a, _i, faces: shutil.rmtree(a.path(faces, "faces")), "file_missing"),
    "the result removed": (
        lambda a, _i, faces: a.sql("UPDATE jobs SET result = NULL WHERE job_id = ?", faces),
        "job_without_result",
    ),
    "a vector zeroed in the database": (
        lambda a, _i, _f: a.sql("UPDATE embeddings SET vector = zeroblob(2048) WHERE set_id = 3 AND ordinal = 1"),
        "embedding_missing",
    ),
    "an embedding removed from the database": (
        lambda a, _i, _f: a.sql("DELETE FROM embeddings WHERE set_id = 3 AND ordinal = 1"),
        "embedding_missing",
    ),
}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("damage", RUN_AGAIN)
def test_what_the_database_can_not_bring_back_makes_the_job_run_again(archive: Archive, damage: str) -> None:
    _, faces = fill(archive)
    harm, kind = RUN_AGAIN[damage]
    harm(archive, "", faces)
    found = archive.audit(fix=True)
    assert kind in found.found
    assert found.left == 0
    assert kinds(archive.audit()) == []
    assert archive.status(faces) is JobStatus.PENDING
    claim = archive.queue.claim("worker-2")
    assert claim is not None
    assert claim.job_id == faces


def test_a_job_that_vanished_from_the_queue_is_put_back(archive: Archive) -> None:
    fill(archive)
    waiting = archive.queue.submit(NewJob("face_detection", "7", priority=9)).job_id
    archive.sql("DELETE FROM queue")
    assert kinds(archive.audit(fix=True)) == ["job_lost"]
    assert kinds(archive.audit()) == []
    claim = archive.queue.claim("worker-1")
    assert claim is not None
    assert (claim.job_id, claim.priority) == (waiting, 9)


def test_a_set_that_vanished_from_the_outbox_is_published(archive: Archive) -> None:
    fill(archive)
    job_id = archive.embed_faces("8", faces=2)
    archive.sql("DELETE FROM outbox")
    assert kinds(archive.audit(fix=True)) == ["set_not_in_outbox"]
    assert kinds(archive.audit()) == []
    archive.publish()
    assert archive.status(job_id) is JobStatus.COMPLETED
    assert kinds(archive.audit()) == []


def test_a_job_completed_before_its_vectors_were_published_is_so_no_longer(archive: Archive) -> None:
    fill(archive)
    job_id = archive.embed_faces("8", faces=2)
    archive.sql("UPDATE jobs SET status = 'completed', completed_at = 1")
    assert kinds(archive.audit(fix=True)) == ["job_completed_too_early"]
    assert archive.status(job_id) is JobStatus.PROCESSING
    archive.publish()
    assert archive.status(job_id) is JobStatus.COMPLETED
    assert kinds(archive.audit()) == []


def test_a_job_whose_end_was_told_and_not_kept_is_completed_and_told_once(archive: Archive) -> None:
    image, _ = fill(archive)
    archive.sql("UPDATE jobs SET status = 'processing', completed_at = NULL WHERE job_id = ?", image)
    assert kinds(archive.audit()) == ["end_told_too_early", "job_not_completed"]
    assert kinds(archive.audit(fix=True)) == ["job_not_completed"]
    assert kinds(archive.audit()) == []
    assert archive.story(image) == "queued started1 completed1"


def test_files_of_a_job_that_failed_are_removed(archive: Archive) -> None:
    claim = archive.claim("face_detection", "7")
    archive.queue.fail(claim, PermanentError(ErrorCode.IMAGE_CORRUPT, "the picture is damaged"))
    archive.path(claim.job_id, "faces").mkdir(parents=True)
    assert kinds(archive.audit(fix=True)) == ["files_orphaned"]
    assert kinds(archive.audit()) == []


def test_jobs_in_the_middle_of_something_are_no_findings(archive: Archive) -> None:
    fill(archive)
    replaced = archive.embed_faces("7", faces=1, seed=8)
    archive.queue.submit(NewJob("face_detection", "7"))
    claim = archive.queue.claim("worker-1")
    assert claim is not None
    staged = archive.files.stage(claim.job_id, claim.lease_token, [Artifact("faces/0.jpg", CROP)])
    archive.vectors.upsert(FACES, [Point(7000, unit_vector(8000), {"job_id": replaced, "model": MODEL})])
    archive.vectors.delete(FACES, [7002])
    assert kinds(archive.audit(fix=True)) == []
    staged.discard()
    archive.publish()
    assert kinds(archive.audit()) == []
    assert [point.id for page in archive.vectors.scroll(FACES) for point in page][:1] == [7000]


def test_a_report_that_is_missing_is_asked_for(tmp_path: Path) -> None:
    vectors = EdgeStore(tmp_path / "qdrant")
    archive = Archive(tmp_path, vectors, uploads=True)
    fill(archive)
    archive.sql("DELETE FROM media_store_sync_status")
    assert kinds(archive.audit(fix=True)) == ["report_missing"] * 5
    assert kinds(archive.audit()) == []
    vectors.close()


def test_a_set_of_another_model_can_not_be_mended_and_says_so(archive: Archive) -> None:
    fill(archive)
    archive.sql("UPDATE collections SET model = 'another' WHERE name = 'faces'")
    report = archive.audit(fix=True)
    assert (kinds(report), report.left) == (["set_of_another_model"] * 2, 2)
    assert {finding.remedy for finding in report.shown} == {None}


def test_an_embedding_whose_job_is_gone_can_not_be_mended_and_says_so(archive: Archive) -> None:
    _, faces = fill(archive)
    archive.queue.delete(faces)
    archive.files.remove(faces)
    archive.sql("UPDATE embeddings SET vector = zeroblob(2048) WHERE set_id = 3 AND ordinal = 1")
    report = archive.audit(fix=True)
    assert (kinds(report), report.left) == (["embedding_damaged"], 1)


def test_a_vector_store_that_was_lost_is_rebuilt(archive: Archive) -> None:
    fill(archive)
    before = archive.contents()
    archive.vectors.close()
    shutil.rmtree(archive.folder / "qdrant")
    archive.vectors = EdgeStore(archive.folder / "qdrant")
    assert kinds(archive.audit(fix=True)) == ["point_missing"] * 7
    assert archive.contents() == before
    assert kinds(archive.audit()) == []


def test_with_a_publisher_at_work_points_are_put_right_through_the_outbox(archive: Archive) -> None:
    fill(archive)
    before = archive.contents()
    archive.alone = False
    archive.vectors.delete(FACES, [7001])
    put(archive, face(archive, 2), np.zeros(512))
    put(archive, Point(7009, unit_vector(1), {}), unit_vector(1))
    assert kinds(archive.audit(fix=True)) == ["point_missing", "point_orphaned", "point_zeroed"]
    assert kinds(archive.audit()) == []
    assert not archive.vectors.retrieve(FACES, [7001, 7009])
    archive.publish()
    assert archive.contents() == before
