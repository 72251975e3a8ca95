"""Room on real disks: who asks for it, and what happens without."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from media_inference.artifacts.local_store import LocalStore
from media_inference.errors import CannotStart, Dependency, DependencyAway, ErrorCode, TransientError
from media_inference.jobs.job import Claim, JobStatus, NewJob
from media_inference.jobs.outcome import Artifact, Findings
from media_inference.media.decoder import Decoder
from media_inference.media.folder_store import FolderStore
from media_inference.media.reader import Media, MediaReader
from media_inference.queue.engine import open_engine
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.migrate import migrate
from media_inference.room import LEAST_ROOM, Room, require_all
from media_inference.tasks.task import Task
from media_inference.tasks.toolbox import Toolbox
from media_inference.vectors.edge_store import EdgeStore
from media_inference.vectors.store import FACES, Point
from media_inference.worker.run_job import Ending, JobRunner
from media_inference.worker.settler import Settler
from tests.stands.model_files import builtin_toolbox
from tests.stands.small_disk import SmallDisk, small_disk

VECTOR = np.eye(512, dtype=np.float32)[0]

WRITE_UNGUARDED = """
import sys
from pathlib import Path
import numpy as np
import media_inference.room
from media_inference.vectors.edge_store import EdgeStore
from media_inference.vectors.store import FACES, Point
media_inference.room.Room.require = lambda room, size=0: None
store = EdgeStore(Path(sys.argv[1]))
for first in range(0, 20_000, 100):
    try:
        store.upsert(FACES, [Point(first + number, np.eye(512, dtype=np.float32)[0], {}) for number in range(100)])
    except Exception as error:
        print(error)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "small", 48) as disk:
        yield disk


def test_a_room_says_when_too_little_would_be_left(disk: SmallDisk) -> None:
    room = Room(disk.folder, "vectors")
    room.require()
    disk.fill(left=LEAST_ROOM + 65_536)
    room.require(65_536)
    with pytest.raises(DependencyAway) as caught:
        room.require(65_537)
    assert (caught.value.dependency, caught.value.code) == (Dependency.STORAGE, ErrorCode.STORAGE_FULL)
    assert caught.value.message == "there is no room for vectors"
    with pytest.raises(DependencyAway, match="photos"):
        require_all([room, Room(disk.folder, "photos", LEAST_ROOM + 65_537)])


def test_the_engine_would_take_its_process_with_it(disk: SmallDisk) -> None:
    """Why the embedded store asks for room first: should this fail one day, it need not any more."""
    EdgeStore(disk.folder / "qdrant").close()
    disk.fill(left=2 << 20)
    done = subprocess.run([sys.executable, "-c", WRITE_UNGUARDED, disk.folder / "qdrant"], check=False)
    assert done.returncode == -signal.SIGBUS


def test_a_store_without_room_refuses_to_write_answers_searches_and_goes_on_when_there_is_room(disk: SmallDisk) -> None:
    store = EdgeStore(disk.folder / "qdrant")
    store.upsert(FACES, [Point(1, VECTOR, {})])
    disk.fill()
    writes = (partial(store.upsert, FACES, [Point(2, VECTOR, {})]), partial(store.delete, FACES, [1]))
    for write in writes:
        with pytest.raises(TransientError) as caught:
            write()
        assert caught.value.code is ErrorCode.STORAGE_FULL
    assert [hit.id for hit in store.search(FACES, VECTOR, limit=10)] == [1]
    disk.make_room()
    store.upsert(FACES, [Point(2, VECTOR, {})])
    assert store.count(FACES) == 2
    store.close()


def test_a_store_without_room_is_not_opened(disk: SmallDisk) -> None:
    EdgeStore(disk.folder / "qdrant").close()
    disk.fill(left=LEAST_ROOM - 65_536)
    with pytest.raises(CannotStart, match="needs 16 MiB of room") as caught:
        EdgeStore(disk.folder / "qdrant")
    assert "\n" not in str(caught.value)
    disk.make_room()
    EdgeStore(disk.folder / "qdrant").close()


def test_a_job_whose_files_find_no_room_waits_uncharged(disk: SmallDisk, tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/test.db")
    migrate(engine)
    queue, away = JobQueue(engine), list[DependencyAway]()
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "1").write_bytes(b"not looked at")
    files = LocalStore(disk.folder / "jobs")

    def find(_claim: Claim, _media: Media, _toolbox: Toolbox) -> Findings:
        return Findings({"n": 1}, artifacts=(Artifact("faces/0.jpg", bytes(1 << 20)),))

    runner = JobRunner(
        queue=queue,
        settler=Settler(queue.settle_some),
        media=MediaReader(FolderStore(tmp_path / "media"), Decoder()),
        tasks={"test": Task("test", "does what the test wants", find, makes_vectors=False)},
        toolbox=builtin_toolbox(),
        artifacts=files,
        max_retries=0,
        on_away=away.append,
    )
    job_id = queue.submit(NewJob("test", "1")).job_id
    disk.fill(left=65_536)
    endings = []
    for _ in range(3):
        claim = queue.claim("worker-1")
        assert claim is not None
        endings.append(runner.run(claim))
    assert endings == [Ending.RELEASED] * 3
    assert [error.dependency for error in away] == [Dependency.STORAGE] * 3
    disk.make_room()
    claim = queue.claim("worker-1")
    assert claim is not None
    assert runner.run(claim) is Ending.SETTLED
    job = JobRecords(engine).get(job_id)
    assert job is not None
    assert (job.status, job.attempts, job.error) == (JobStatus.COMPLETED, 1, None)
    engine.dispose()
