"""What only the embedded vector store must withstand: other processes, and crashes while it is made."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qdrant_edge import Distance, EdgeConfig, EdgeShard, EdgeVectorParams

from media_inference.errors import CannotStart
from media_inference.vectors.edge_store import EdgeStore
from media_inference.vectors.store import FACES, Point

HOLD = """
import sys
from pathlib import Path
from media_inference.vectors.edge_store import EdgeStore
store = EdgeStore(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""

WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
import numpy as np
from media_inference.vectors.edge_store import EdgeStore
from media_inference.vectors.store import FACES, Point
store = EdgeStore(Path(sys.argv[1]))
store.upsert(FACES, [Point(1, np.eye(512, dtype=np.float32)[0], {"name": "kept"})])
os.kill(os.getpid(), signal.SIGKILL)
"""

CRASH_AT_EVERY_STEP = """
# Forks before any shard is open (no threads yet): a child dies at its n-th change of the folder, another must then
# find a store that opens. Prints how many ways to die there were.
import os, signal, sys
from pathlib import Path
from media_inference.vectors.edge_store import EdgeStore
from media_inference.vectors.store import COLLECTIONS

CHANGES = {"os.mkdir", "os.rename", "shutil.rmtree", "fcntl.flock"}

def make(folder, crash_at):
    seen = 0
    def audit(event, arguments):
        nonlocal seen
        if event in CHANGES:
            seen += 1
            if seen == crash_at:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(audit)
    store = EdgeStore(folder)
    assert [store.count(collection) for collection in COLLECTIONS] == [0, 0]
    store.close()

def in_child(folder, crash_at):
    child = os.fork()
    if child == 0:
        try:
            make(folder, crash_at)
        except BaseException as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

crashes = 0
while in_child(Path(sys.argv[1], str(crashes)), crashes + 1) == -signal.SIGKILL:
    code = in_child(Path(sys.argv[1], str(crashes)), 0)
    assert code == 0, f"after a crash at change {crashes + 1} the store does not open"
    crashes += 1
print(crashes)
"""


def run_python(program: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=False)


def test_a_second_process_is_refused_with_one_line_and_may_come_when_the_first_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(CannotStart, match="in use by another process") as caught:
            EdgeStore(tmp_path)
        assert "\n" not in str(caught.value)
        holder.kill()
    EdgeStore(tmp_path).close()


def test_a_shard_that_another_program_holds_is_refused(tmp_path: Path) -> None:
    EdgeStore(tmp_path).close()
    shard = EdgeShard.load(str(tmp_path / FACES))
    with pytest.raises(CannotStart, match="in use by another process"):
        EdgeStore(tmp_path)
    shard.close()
    EdgeStore(tmp_path).close()


def test_a_kill_right_after_an_upsert_loses_nothing(tmp_path: Path) -> None:
    assert run_python(WRITE_AND_DIE, tmp_path).returncode == -signal.SIGKILL
    store = EdgeStore(tmp_path)
    assert [found.payload for found in store.retrieve(FACES, [1])] == [{"name": "kept"}]
    store.close()


def test_an_upsert_is_synced_to_the_disk_before_it_returns(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path)
    segments = tmp_path / FACES / "segments"
    assert not list(segments.glob("*/mutable_id_tracker.versions"))
    store.upsert(FACES, [Point(1, np.eye(512, dtype=np.float32)[0], {})])
    assert list(segments.glob("*/mutable_id_tracker.versions"))  # the engine writes it when it syncs, not before
    store.close()


def test_a_crash_at_any_step_of_making_a_store_leaves_one_that_opens(tmp_path: Path) -> None:
    done = run_python(CRASH_AT_EVERY_STEP, tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 6


def test_a_store_that_was_half_made_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / f"{FACES}.new" / "segments").mkdir(parents=True)
    EdgeStore(tmp_path).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "faces", "image_embeddings"]


def test_the_shards_are_plain_qdrant_edge_shards(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path)
    store.upsert(FACES, [Point(123_000, np.eye(512, dtype=np.float32)[0], {"media_store_id": 123})])
    store.close()
    shard = EdgeShard.load(str(tmp_path / FACES))
    [record] = shard.retrieve([123_000], with_payload=True, with_vector=False)
    shard.close()
    assert record.payload == {"media_store_id": 123}


def test_a_shard_of_another_shape_is_refused(tmp_path: Path) -> None:
    config = EdgeConfig(vectors=EdgeVectorParams(size=4, distance=Distance.Cosine))
    EdgeShard.create(str(tmp_path / FACES), config).close()
    with pytest.raises(CannotStart, match="can't be opened"):
        EdgeStore(tmp_path)


def test_a_broken_shard_is_refused_and_the_folder_let_go(tmp_path: Path) -> None:
    EdgeStore(tmp_path).close()
    settings = tmp_path / FACES / "edge_config.json"
    whole = settings.read_bytes()
    settings.write_bytes(whole[:20])
    with pytest.raises(CannotStart, match="can't be opened"):
        EdgeStore(tmp_path)
    settings.write_bytes(whole)
    EdgeStore(tmp_path).close()
