"""A backup is whole or not there, brings everything back, and is refused when it is damaged."""

import json
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_inference.artifacts.shelf import Shelf
from media_inference.audit.rebuild import rebuild_points
from media_inference.backup.manifest import Manifest
from media_inference.backup.places import Places
from media_inference.backup.restore import restore
from media_inference.backup.write import BackupWriter
from media_inference.errors import CannotStart
from media_inference.jobs.event import EventType
from media_inference.jobs.job import JobStatus, NewJob
from media_inference.queue.events import EventLog, Gap
from media_inference.queue.inventory import Inventory
from media_inference.queue.snapshot import LiveDatabase
from media_inference.vectors.edge_store import EdgeStore
from tests.stands.archive import Archive, edge_archive, kinds
from tests.stands.synced import watch_syncs

pytestmark = pytest.mark.slow

KEYS = ("public_key.pem", "private_key.pem")


def places(folder: Path) -> Places:
    return Places(folder / "inference.db", folder / "jobs", folder / "media", tuple(folder / key for key in KEYS))


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """Three photos, their jobs, one of them in the outbox, one at work, one waiting."""
    (tmp_path / "data" / "media").mkdir(parents=True)
    with edge_archive(tmp_path / "data") as archive:
        for name in ("1", "2", "holiday"):
            (archive.folder / "media" / name).write_bytes(f"photo {name}".encode())
        (archive.folder / "media" / ".upload-half").write_bytes(b"half a pho")
        for key in KEYS:
            (archive.folder / key).write_text(key)
        (archive.folder / KEYS[1]).chmod(0o600)
        archive.embed_image("1")
        archive.embed_faces("2", faces=3)
        archive.publish()
        archive.embed_faces("2", faces=1, seed=5)
        archive.detect_faces("holiday", faces=2)
        archive.claim("face_detection", "1")
        archive.queue.submit(NewJob("image_embedding", "2"))
        yield archive


def back_up(archive: Archive, target: Path) -> Manifest:
    return BackupWriter(LiveDatabase(archive.engine), places(archive.folder), "1.2.3", lambda: 1234).write(target)


def bring_back(backup: Path, folder: Path) -> Archive:
    vectors = EdgeStore(folder / "qdrant")
    try:
        restore(backup, places(folder), lambda inventory: sink(rebuild_points(inventory, vectors)))
    except BaseException:
        vectors.close()
        raise
    return Archive(folder, vectors, migrated=True)


def sink(_points: int) -> None:
    """Nobody asks."""


def test_everything_comes_back(archive: Archive, tmp_path: Path) -> None:
    before = archive.contents()
    manifest = back_up(archive, tmp_path / "backup")
    assert (manifest.jobs, manifest.files, manifest.media) == (6, 1 + 6 + 2 + 2, 3)
    assert json.loads((tmp_path / "backup" / "manifest.json").read_text())["created_at"] == 1234
    restored = bring_back(tmp_path / "backup", tmp_path / "restored")
    after = restored.contents()
    assert after["files"] == before["files"]
    assert after["points"] == before["points"]
    at_work = {job_id for job_id, status, result in before["jobs"] if (status, result) == ("processing", None)}
    expected = [(job_id, "pending" if job_id in at_work else s, result) for job_id, s, result in before["jobs"]]
    assert (after["jobs"], len(at_work)) == (expected, 1)
    media = {path.name: path.read_bytes() for path in (restored.folder / "media").iterdir()}
    assert media == {name: f"photo {name}".encode() for name in ("1", "2", "holiday")}
    assert stat.S_IMODE((restored.folder / KEYS[1]).stat().st_mode) == 0o600
    assert not list(restored.folder.glob("*.restoring*"))
    assert kinds(restored.audit()) == []
    restored.publish()
    assert kinds(restored.audit()) == []
    restored.vectors.close()


def test_a_job_that_was_at_work_goes_back_uncharged_and_can_be_claimed(archive: Archive, tmp_path: Path) -> None:
    archive.queue.release_worker("worker-1")
    assert archive.queue.claim("worker-1") is not None
    back_up(archive, tmp_path / "backup")
    restored = bring_back(tmp_path / "backup", tmp_path / "restored")
    claim = restored.queue.claim("worker-9")
    assert claim is not None
    assert (claim.task_type, claim.attempt, claim.failures) == ("face_detection", 1, 0)
    assert restored.queue.release(claim)
    assert restored.queue.claim("worker-9") is not None
    assert restored.story(claim.job_id) == "queued started1 queued started1"
    restored.vectors.close()


def test_a_reader_from_before_a_restore_is_told_so_however_late_it_comes(archive: Archive, tmp_path: Path) -> None:
    back_up(archive, tmp_path / "backup")
    seen = [archive.newest_event()]
    for number in range(2):
        restored = bring_back(tmp_path / "backup", tmp_path / f"restored-{number}")
        log = EventLog(restored.engine)
        while True:
            pages = [log.page(after, 1) for after in (0, *seen)]
            assert {page.gap for page in pages} == {Gap.TRIMMED}
            assert {page.events[0].type for page in pages} == {EventType.QUEUED}
            if log.newest() > seen[-1] + 30:
                break
            restored.queue.submit(NewJob("image_embedding", "1"))
        seen.append(log.newest())
        restored.vectors.close()


def test_a_log_without_events_gives_out_no_old_id_after_a_restore(archive: Archive, tmp_path: Path) -> None:
    archive.queue.release_worker("worker-1")
    seen = archive.newest_event()
    archive.sql("DELETE FROM events")
    back_up(archive, tmp_path / "backup")
    restored = bring_back(tmp_path / "backup", tmp_path / "restored")
    assert EventLog(restored.engine).page(seen, 1).gap is Gap.UNKNOWN
    restored.queue.submit(NewJob("image_embedding", "1"))
    assert EventLog(restored.engine).page(seen, 1).gap is Gap.TRIMMED
    restored.vectors.close()


def test_files_on_the_same_disk_are_linked_and_outlive_their_job(archive: Archive, tmp_path: Path) -> None:
    job_id = archive.detect_faces("1", faces=1)
    back_up(archive, tmp_path / "backup")
    copied = tmp_path / "backup" / "jobs" / job_id / "faces" / "0.jpg"
    assert copied.samefile(archive.path(job_id, "faces/0.jpg"))
    content = copied.read_bytes()
    archive.queue.delete(job_id)
    archive.files.remove(job_id)
    assert copied.read_bytes() == content


def test_a_job_that_is_deleted_meanwhile_is_not_in_the_backup(archive: Archive, tmp_path: Path) -> None:
    gone = archive.detect_faces("1", faces=1)

    class Overtaken(LiveDatabase):
        """The real one, with a client who is quick."""

        def copy(self, target: Path) -> None:
            super().copy(target)
            archive.queue.delete(gone)
            archive.files.remove(gone)

    BackupWriter(Overtaken(archive.engine), places(archive.folder), "1.2.3", lambda: 1234).write(tmp_path / "backup")
    restored = bring_back(tmp_path / "backup", tmp_path / "restored")
    assert restored.records.get(gone) is None
    assert kinds(restored.audit()) == []
    restored.vectors.close()


def test_a_folder_that_is_not_empty_is_never_written_to(archive: Archive, tmp_path: Path) -> None:
    back_up(archive, tmp_path / "backup")
    with pytest.raises(CannotStart, match="there already"):
        back_up(archive, tmp_path / "backup")
    for name in ("inference.db", "private_key.pem", "jobs/x", "media/1"):
        target = tmp_path / f"full-{name.partition('/')[0]}"
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(b"mine")
        with pytest.raises(CannotStart, match="there already"):
            restore(tmp_path / "backup", places(target), lambda _inventory: None)
        assert [path.read_bytes() for path in target.rglob("*") if path.is_file()] == [b"mine"]


@pytest.mark.parametrize(
    "name", ["manifest.json", "SHA256SUMS", "inference.db", "media/1", "jobs/*/faces/0.jpg", "keys/*"]
)
@pytest.mark.parametrize("harm", ["flipped", "gone", "cut"])
def test_a_damaged_backup_is_refused_and_leaves_nothing(archive: Archive, tmp_path: Path, name: str, harm: str) -> None:
    back_up(archive, tmp_path / "backup")
    damaged = min((tmp_path / "backup").glob(name))
    content = damaged.read_bytes()
    damaged.unlink()
    if harm == "flipped":
        damaged.write_bytes(bytes([*content[:-7], content[-7] ^ 1, *content[-6:]]))
    elif harm == "cut":
        damaged.write_bytes(content[:-1])
    if (name, harm) == ("manifest.json", "cut"):
        damaged.write_bytes(content[:-3])  # its last byte says nothing
    with pytest.raises(CannotStart, match=r"damaged|not a backup"):
        restore(tmp_path / "backup", places(tmp_path / "restored"), lambda _inventory: None)
    assert [path for path in (tmp_path / "restored").rglob("*") if path.is_file()] == []


def test_a_manifest_that_counts_other_jobs_is_refused(archive: Archive, tmp_path: Path) -> None:
    back_up(archive, tmp_path / "backup")
    manifest = tmp_path / "backup" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"jobs": 6', '"jobs": 7'))
    with pytest.raises(CannotStart, match=r"manifest\.json"):
        restore(tmp_path / "backup", places(tmp_path / "restored"), lambda _inventory: None)


def test_vectors_that_can_not_be_made_leave_nothing(archive: Archive, tmp_path: Path) -> None:
    back_up(archive, tmp_path / "backup")

    def fail(_inventory: Inventory) -> None:
        raise CannotStart("no vector store")

    with pytest.raises(CannotStart, match="no vector store"):
        restore(tmp_path / "backup", places(tmp_path / "restored"), fail)
    assert [path for path in (tmp_path / "restored").rglob("*") if path.is_file()] == []


def test_a_backup_that_fails_leaves_nothing(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_source: Path, _target: Path) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("media_inference.backup.write.link_or_copy", full)
    with pytest.raises(OSError, match="No space"):
        back_up(archive, tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_a_killed_backup_left_is_replaced_by_the_next(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / ".backup.partial" / "jobs").mkdir(parents=True)
    (tmp_path / ".backup.partial" / "inference.db").write_bytes(b"half a database")
    back_up(archive, tmp_path / "backup")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "data"]


def test_two_backups_to_one_folder_do_not_meet(archive: Archive, tmp_path: Path) -> None:
    from media_inference.file_lock import hold_folder

    with hold_folder(tmp_path / ".backup.partial"), pytest.raises(BlockingIOError):
        back_up(archive, tmp_path / "backup")


@pytest.mark.timeout(120)
def test_writers_go_on_while_a_backup_is_made_and_what_was_acknowledged_before_is_in_it(
    archive: Archive, tmp_path: Path
) -> None:
    # So large that a copy in steps would never see the end of a step without a change before it.
    archive.sql("CREATE TABLE filler AS SELECT randomblob(40000000) AS bytes")
    acknowledged: list[str] = []
    enough, stop = threading.Event(), threading.Event()

    def submit() -> None:
        while not stop.is_set():
            acknowledged.append(archive.queue.submit(NewJob("image_embedding", "1")).job_id)
            if len(acknowledged) % 50 == 0:
                enough.set()

    writer = threading.Thread(target=submit)
    writer.start()
    try:
        for number in range(3):
            enough.clear()
            assert enough.wait(30)
            before = list(acknowledged)
            back_up(archive, tmp_path / f"backup-{number}")
            assert len(acknowledged) >= len(before)
            restored = bring_back(tmp_path / f"backup-{number}", tmp_path / f"restored-{number}")
            assert {restored.status(job_id) for job_id in before} == {JobStatus.PENDING}
            restored.vectors.close()
            shutil.rmtree(restored.folder)
    finally:
        stop.set()
        writer.join()


def test_a_backup_that_is_said_to_be_there_is_on_disk(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = watch_syncs(monkeypatch)
    back_up(archive, tmp_path / "backup")
    names = {path.name for path in synced if path.parent.name == ".backup.partial"}
    assert {"SHA256SUMS", "manifest.json", "jobs", "media"} <= names
    assert synced[-1] == tmp_path, "the name of the backup itself comes last"


def test_a_file_that_is_gone_when_the_backup_comes_to_it_is_no_error(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, walk = Shelf(archive.folder / "jobs"), os.walk
    job_id = next(iter(shelf.jobs()))

    def overtaken(place: Path) -> Iterator[tuple[str, list[str], list[str]]]:
        seen = list(walk(place))
        shutil.rmtree(place)
        yield from seen

    monkeypatch.setattr(os, "walk", overtaken)
    assert shelf.sizes(job_id) == {}
