"""One suite for every artifact store."""

from collections.abc import Callable
from pathlib import Path

import pytest

from media_inference.artifacts.local_store import LocalStore
from media_inference.artifacts.store import ArtifactStore
from media_inference.jobs.outcome import Artifact

JOB = "550e8400-e29b-41d4-a716-446655440000"
CROP, VECTOR = Artifact("faces/0.jpg", b"crop"), Artifact("faces/0.bin", b"\0" * 2048)


@pytest.fixture(params=[LocalStore])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """An empty store."""
    build: Callable[[Path], ArtifactStore] = request.param
    return build(tmp_path / "jobs")


def content(store: ArtifactStore, name: str) -> bytes | None:
    path = store.path(JOB, name)
    return None if path is None else path.read_bytes()


def test_files_are_out_of_sight_until_they_are_promoted(store: ArtifactStore) -> None:
    staged = store.stage(JOB, "attempt-1", [CROP, VECTOR])
    assert staged.size == 2052
    assert content(store, CROP.name) is None
    staged.promote()
    assert (content(store, CROP.name), content(store, VECTOR.name)) == (CROP.content, VECTOR.content)


def test_a_promoted_attempt_replaces_all_files_of_an_older_one(store: ArtifactStore) -> None:
    store.stage(JOB, "attempt-1", [CROP, Artifact("faces/1.jpg", b"another")]).promote()
    store.stage(JOB, "attempt-2", [Artifact(CROP.name, b"newer")]).promote()
    assert content(store, CROP.name) == b"newer"
    assert content(store, "faces/1.jpg") is None


def test_an_attempt_without_files_removes_those_of_an_older_one(store: ArtifactStore) -> None:
    store.stage(JOB, "attempt-1", [CROP]).promote()
    empty = store.stage(JOB, "attempt-2", [])
    assert (empty.size, content(store, CROP.name)) == (0, CROP.content)
    empty.promote()
    assert content(store, CROP.name) is None
    assert store.remove(JOB) == (0, 0)


def test_a_discarded_attempt_leaves_the_older_files(store: ArtifactStore) -> None:
    store.stage(JOB, "attempt-1", [CROP]).promote()
    staged = store.stage(JOB, "attempt-2", [Artifact(CROP.name, b"newer")])
    staged.discard()
    staged.discard()
    assert content(store, CROP.name) == CROP.content


def test_to_discard_after_the_promotion_does_nothing(store: ArtifactStore) -> None:
    staged = store.stage(JOB, "attempt-1", [CROP])
    staged.promote()
    staged.discard()
    assert content(store, CROP.name) == CROP.content


def test_two_attempts_at_one_job_do_not_meet(store: ArtifactStore) -> None:
    first, second = store.stage(JOB, "attempt-1", [CROP]), store.stage(JOB, "attempt-2", [Artifact(CROP.name, b"2nd")])
    second.promote()
    first.discard()
    assert content(store, CROP.name) == b"2nd"


def test_removing_a_job_says_what_was_freed(store: ArtifactStore) -> None:
    store.stage(JOB, "attempt-1", [CROP, VECTOR]).promote()
    assert store.remove(JOB) == (2, 2052)
    assert store.remove(JOB) == (0, 0)
    assert content(store, CROP.name) is None


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "faces", "faces/", "/faces/0.jpg", "faces/../faces/0.jpg", "../secret", "faces/0.jpg\0", "x"],
)
def test_a_name_that_is_no_file_of_the_job_has_no_path(store: ArtifactStore, name: str) -> None:
    store.stage(JOB, "attempt-1", [CROP]).promote()
    assert store.path(JOB, name) is None


@pytest.mark.parametrize("job_id", ["", ".", "..", ".staging", "../jobs", "unknown", "a/b", "/"])
def test_a_job_id_that_is_none_has_no_path(store: ArtifactStore, job_id: str) -> None:
    store.stage(JOB, "attempt-1", [CROP]).promote()
    assert store.path(job_id, CROP.name) is None


def test_a_link_out_of_the_folder_has_no_path(store: ArtifactStore, tmp_path: Path) -> None:
    store.stage(JOB, "attempt-1", [CROP]).promote()
    place = store.path(JOB, CROP.name)
    assert place is not None
    (tmp_path / "secret").write_bytes(b"secret")
    place.with_name("1.jpg").symlink_to(tmp_path / "secret")
    place.with_name("linked").symlink_to(tmp_path)
    assert store.path(JOB, "faces/1.jpg") is None
    assert store.path(JOB, "faces/linked/secret") is None


@pytest.mark.parametrize("name", ["../0.jpg", "/0.jpg", "faces//0.jpg", "", "a\0b"])
def test_a_file_that_would_land_elsewhere_is_not_staged(store: ArtifactStore, name: str) -> None:
    with pytest.raises(ValueError, match="path"):
        store.stage(JOB, "attempt-1", [Artifact(name, b"")])


def test_a_store_that_can_be_written_passes_its_check(store: ArtifactStore) -> None:
    store.check()
