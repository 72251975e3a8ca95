"""What only the folder of artifacts must withstand: a full disk, and what crashes leave behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from media_inference.artifacts.local_store import LocalStore
from media_inference.artifacts.shelf import Shelf
from media_inference.errors import CannotStart
from media_inference.jobs.outcome import Artifact
from tests.stands.synced import watch_syncs

JOB, OTHER = "550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440001"
CROP = Artifact("faces/0.jpg", b"crop")

ON_A_SMALL_DISK = """
import sys
from pathlib import Path
from media_inference.artifacts.local_store import LocalStore
from media_inference.errors import TransientError
from media_inference.jobs.outcome import Artifact
folder = Path(sys.argv[1])
store = LocalStore(folder)
try:
    store.stage("job", "attempt", [Artifact(f"faces/{number}.jpg", bytes(20_000)) for number in range(10)])
except TransientError as error:
    print(error)
print(sorted(path.name for path in (folder / ".staging").iterdir()))
(folder / "filler").write_bytes(bytes(40_000))
try:
    with (folder / "more").open("wb", buffering=0) as more:
        while True:
            more.write(bytes(512))
except OSError:
    pass
try:
    store.check()
except TransientError as error:
    print(error)
"""


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_full_disk_is_storage_full_and_leaves_no_rubbish(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=128k tmpfs "$1" && exec "$2" -c "$3" "$1"'
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let a user mount a small disk of its own (unshare -rm)")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, "sh", tmp_path, sys.executable, ON_A_SMALL_DISK],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "storage_full: there is no room for result files",
        "[]",
        "storage_full: there is no room for result files",
    ], done.stderr


def test_a_folder_that_can_not_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CannotStart, match="result files"):
        LocalStore(tmp_path / "file" / "jobs")


def test_the_sweep_removes_what_no_row_names_and_keeps_the_rest(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for job_id in (JOB, OTHER):
        store.stage(job_id, "attempt-" + job_id, [CROP]).promote()
        age(tmp_path / job_id, 7200)
    asked: list[str] = []

    def exists(job_ids: list[str]) -> set[str]:
        asked.extend(job_ids)
        return {JOB}

    assert store.sweep(3600, exists) == 1
    assert sorted(asked) == [JOB, OTHER]
    assert store.path(JOB, CROP.name) is not None
    assert not (tmp_path / OTHER).exists()


def test_the_sweep_removes_stale_attempts_and_leaves_running_ones(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    stale, running = store.stage(JOB, "stale", [CROP]), store.stage(JOB, "running", [CROP])
    age(tmp_path / ".staging" / "stale", 7200)
    assert store.sweep(3600, set) == 1
    running.promote()
    stale.discard()
    assert store.path(JOB, CROP.name) is not None


def test_the_sweep_leaves_young_jobs_and_foreign_folders(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.stage(JOB, "attempt", [CROP]).promote()
    for name in ("holiday-photos", "lost+found"):
        (tmp_path / name).mkdir()
        age(tmp_path / name, 7200)
    assert store.sweep(3600, set) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [".staging", JOB, "holiday-photos", "lost+found"]


def test_what_a_crash_during_the_promotion_left_is_swept(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    (tmp_path / ".staging" / "attempt.older" / "faces").mkdir(parents=True)
    age(tmp_path / ".staging" / "attempt.older", 7200)
    assert store.sweep(3600, set) == 1
    assert list((tmp_path / ".staging").iterdir()) == []


def test_the_folders_on_the_way_to_a_result_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = watch_syncs(monkeypatch)
    LocalStore(tmp_path / "inference" / "jobs")
    assert {tmp_path, tmp_path / "inference", tmp_path / "inference" / "jobs"} <= set(synced)
    synced.clear()
    LocalStore(tmp_path / "inference" / "jobs")
    assert synced == [], "nothing is new"


def test_a_file_that_is_mended_is_on_disk_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LocalStore(tmp_path)
    synced = watch_syncs(monkeypatch)
    Shelf(tmp_path).replace(JOB, CROP.name, CROP.content)
    assert {tmp_path, tmp_path / JOB, tmp_path / JOB / "faces"} <= set(synced)
