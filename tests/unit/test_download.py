"""Downloads over bad lines: nothing is fetched twice, nothing wrong is kept."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import huggingface_hub
import pytest

from media_inference.errors import DownloadFailed, DownloadInterrupted, HubUnreachable
from media_inference.models.model import HubFile, Model
from media_inference.models.yunet import YUNET_2023MAR
from media_inference.runtime.download import Patience
from media_inference.runtime.hub import pull
from tests.stands.hub import Behaviour, Hub, hub
from tests.stands.model_files import sha256

CONTENT = os.urandom(3 << 20)
SIZE = len(CONTENT)
AT_40_PERCENT = SIZE * 2 // 5
REVISION = "0" * 40
FILE = HubFile("org/repo", REVISION, "sub/model.onnx", sha256(CONTENT), SIZE)
MODEL: Model = replace(YUNET_2023MAR, name="pinned", files=(FILE,))
AT_ONCE = Patience(pauses=())
TWICE = Patience(pauses=(0.0,))
IN_TIME = 8.0
"""Seconds, on a busy machine, for what is bounded at half a second: the client's own bound is ten, or there is none."""
ON_A_SMALL_DISK = """
import os, sys
from dataclasses import replace
from pathlib import Path
from media_inference.errors import DownloadFailed
from media_inference.models.model import HubFile
from media_inference.models.yunet import YUNET_2023MAR
from media_inference.runtime.hub import pull
folder, endpoint, size, filler = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
def fill(name, done, in_all):  # the room is there when it is looked at, and gone when it is needed
    if not (folder / "filler").exists():
        (folder / "filler").write_bytes(bytes(filler))
file = HubFile("org/repo", "0" * 40, "sub/model.onnx", "0" * 64, size)
try:
    pull(replace(YUNET_2023MAR, name="pinned", files=(file,)), folder, fill, endpoint=endpoint)
except DownloadFailed as error:
    print(error)
print(sorted(path.suffix for path in (folder / "pinned").iterdir()))
"""


@pytest.fixture
def running() -> Iterator[Hub]:
    with hub() as stand:
        stand.put(FILE.repo, REVISION, FILE.path, CONTENT)
        yield stand
        huggingface_hub.close_session()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the file of the model goes."""
    folder = tmp_path / "pinned"
    folder.mkdir()
    return folder


def part(folder: Path, wanted: str = FILE.sha256) -> Path:
    return folder / f"model.onnx.{wanted}.part"


def is_whole(folder: Path) -> bool:
    """Whether the file is there as pinned, and nothing else."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} == {"model.onnx": CONTENT}


def test_a_download_that_broke_off_goes_on_where_it_ended(running: Hub, folder: Path) -> None:
    running.script = [Behaviour(cut_after=AT_40_PERCENT)]
    with pytest.raises(DownloadInterrupted, match="broke off"):
        pull(MODEL, folder.parent, endpoint=running.url, patience=AT_ONCE)
    assert part(folder).stat().st_size == AT_40_PERCENT
    told: list[int] = []

    pull(MODEL, folder.parent, lambda _name, done, _in_all: told.append(done), endpoint=running.url)

    assert running.ranges == [None, f"bytes={AT_40_PERCENT}-"]
    assert running.sent == SIZE
    assert is_whole(folder)
    assert told[0] > AT_40_PERCENT


def test_one_pull_gets_there_over_a_line_that_breaks_again_and_again(running: Hub, folder: Path) -> None:
    running.usual = Behaviour(cut_after=SIZE // 10)
    said: list[str] = []

    pull(MODEL, folder.parent, endpoint=running.url, say=said.append, patience=Patience(pauses=(0.0,) * 10))

    starts = [0, *(int(asked.removeprefix("bytes=").removesuffix("-")) for asked in running.ranges if asked)]
    assert len(starts) == 11
    assert {later - earlier for earlier, later in pairwise(starts)} == {SIZE // 10}
    assert running.sent == SIZE
    assert is_whole(folder)
    assert len(said) == 10
    assert "going on from 0.3 MB in 0 s" in said[0]


def test_tries_that_bring_much_are_not_counted(running: Hub, folder: Path) -> None:
    running.usual = Behaviour(cut_after=1 << 20)

    pull(MODEL, folder.parent, endpoint=running.url, patience=TWICE)

    assert len(running.ranges) == 3
    assert is_whole(folder)


def test_a_line_that_brings_nothing_is_given_up_after_as_many_tries_as_there_are_pauses(
    running: Hub, folder: Path
) -> None:
    running.usual = Behaviour(cut_after=0)

    with pytest.raises(DownloadInterrupted):
        pull(MODEL, folder.parent, endpoint=running.url, patience=Patience(pauses=(0.0, 0.01, 0.0)))

    assert len(running.ranges) == 4


def test_a_hub_that_is_overloaded_is_asked_again(running: Hub, folder: Path) -> None:
    running.script = [Behaviour(status=503), Behaviour(status=429)]

    pull(MODEL, folder.parent, endpoint=running.url, patience=Patience(pauses=(0.0, 0.0)))

    assert len(running.ranges) == 3
    assert is_whole(folder)


@pytest.mark.parametrize("status", [429, 503])
def test_a_hub_that_asks_to_be_left_alone_is_asked_again_no_sooner(running: Hub, folder: Path, status: int) -> None:
    running.script = [Behaviour(status=status, retry_after="1")]
    said: list[str] = []
    start = time.monotonic()

    pull(MODEL, folder.parent, endpoint=running.url, say=said.append, patience=TWICE)

    assert time.monotonic() - start >= 1
    assert said == [f"the hub answered {status} for sub/model.onnx of org/repo; going on from 0.0 MB in 1 s"]
    assert is_whole(folder)


def test_a_hub_that_asks_to_be_left_alone_for_long_is_not_waited_for(running: Hub, folder: Path) -> None:
    running.usual = Behaviour(status=429, retry_after="301")

    with pytest.raises(DownloadFailed, match=r"429 for .* and asks to be left alone for 301 s: try again then\Z"):
        pull(MODEL, folder.parent, endpoint=running.url, patience=TWICE)

    assert len(running.ranges) == 1


def test_a_hub_whose_head_never_ends_is_given_up_in_time(running: Hub, folder: Path) -> None:
    """Each byte comes in time, so no timeout of the client ever sees it."""
    running.usual = Behaviour(drip_head=True)
    start = time.monotonic()

    with pytest.raises(HubUnreachable, match=r"did not answer within 0\.5 s"):
        pull(MODEL, folder.parent, endpoint=running.url, patience=Patience(stall_s=0.5, pauses=()))

    assert time.monotonic() - start < IN_TIME


def test_a_hub_that_ignores_the_range_is_taken_at_its_word_without_another_request(running: Hub, folder: Path) -> None:
    part(folder).write_bytes(CONTENT[:AT_40_PERCENT])
    running.usual = Behaviour(ranges=False)

    pull(MODEL, folder.parent, endpoint=running.url)

    assert running.ranges == [f"bytes={AT_40_PERCENT}-"]
    assert running.sent == SIZE
    assert is_whole(folder)


def test_a_hub_that_can_not_go_on_is_asked_for_all_of_it_once(running: Hub, folder: Path) -> None:
    part(folder).write_bytes(CONTENT[:AT_40_PERCENT])
    running.script = [Behaviour(status=416)]

    pull(MODEL, folder.parent, endpoint=running.url)

    assert running.ranges == [f"bytes={AT_40_PERCENT}-", None]
    assert is_whole(folder)


def test_a_download_that_was_begun_anew_is_judged_by_what_it_brings_then(running: Hub, folder: Path) -> None:
    part(folder).write_bytes(CONTENT[:-1])
    running.script = [Behaviour(status=416)]
    running.usual = Behaviour(cut_after=1 << 20)

    pull(MODEL, folder.parent, endpoint=running.url, patience=TWICE)

    assert len(running.ranges) == 4
    assert is_whole(folder)


def test_a_hub_whose_file_is_too_short_is_not_asked_for_ever(running: Hub, folder: Path) -> None:
    running.put(FILE.repo, REVISION, FILE.path, CONTENT[:-1])
    running.usual = Behaviour(length=False)

    with pytest.raises(DownloadFailed, match="416"):
        pull(MODEL, folder.parent, endpoint=running.url, patience=TWICE)

    assert running.ranges == [None, f"bytes={SIZE - 1}-", None, f"bytes={SIZE - 1}-"]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("length", [1, AT_40_PERCENT, SIZE, SIZE + 1])
def test_a_part_that_turns_out_wrong_is_begun_anew_once(running: Hub, folder: Path, length: int) -> None:
    part(folder).write_bytes(bytes(length))
    said: list[str] = []

    pull(MODEL, folder.parent, endpoint=running.url, say=said.append)

    assert running.ranges == ([f"bytes={length}-", None] if length < SIZE else [None])
    assert is_whole(folder)
    assert ["starting anew" in line for line in said] == [True]


def test_a_wrong_file_that_came_in_two_pieces_is_fetched_once_more_and_then_given_up(
    running: Hub, folder: Path
) -> None:
    running.put(FILE.repo, REVISION, FILE.path, bytes(SIZE))
    running.script = [Behaviour(cut_after=AT_40_PERCENT)]

    with pytest.raises(DownloadFailed, match="is not the pinned file"):
        pull(MODEL, folder.parent, endpoint=running.url, patience=TWICE)

    assert running.ranges == [None, f"bytes={AT_40_PERCENT}-", None]
    assert list(folder.iterdir()) == []


def test_a_part_that_is_whole_needs_no_download(running: Hub, folder: Path) -> None:
    part(folder).write_bytes(CONTENT)

    pull(MODEL, folder.parent, endpoint=running.url)

    assert running.ranges == []
    assert is_whole(folder)


def test_the_part_of_another_file_is_not_continued_and_is_removed_in_the_end(running: Hub, folder: Path) -> None:
    other, older = part(folder, "f" * 64), folder / ".model.onnx.x1y2z3.part"
    other.write_bytes(CONTENT[:AT_40_PERCENT])
    older.write_bytes(CONTENT[:AT_40_PERCENT])
    another_files = folder / "tokenizer.json.part"
    another_files.write_bytes(b"{")

    pull(MODEL, folder.parent, endpoint=running.url)

    assert running.ranges == [None]
    assert sorted(path.name for path in folder.iterdir()) == ["model.onnx", "tokenizer.json.part"]


@pytest.mark.parametrize(
    "behaviour", [Behaviour(hold_after=AT_40_PERCENT), Behaviour(drip=True)], ids=["silent", "slow"]
)
def test_a_download_that_stalls_is_broken_off_within_its_bound(
    running: Hub, folder: Path, behaviour: Behaviour
) -> None:
    running.usual = behaviour
    start = time.monotonic()

    with pytest.raises(DownloadInterrupted, match=r"127\.0\.0\.1"):
        pull(MODEL, folder.parent, endpoint=running.url, patience=Patience(stall_s=0.5, pauses=()))

    assert 0.5 <= time.monotonic() - start < IN_TIME
    assert part(folder).stat().st_size > 0


def test_without_room_nothing_is_asked_for(running: Hub, folder: Path) -> None:
    huge = replace(FILE, size=1 << 60)

    with pytest.raises(
        DownloadFailed, match=r"\A[^\n]*pinned has no room for model\.onnx: [0-9.]+ MB are missing[^\n]*\Z"
    ):
        pull(replace(MODEL, files=(huge,)), folder.parent, endpoint=running.url)

    assert running.ranges == []


def test_a_disk_that_fills_up_meanwhile_is_one_line_and_keeps_what_came(running: Hub, tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=4m tmpfs "$1" && exec "$2" -c "$3" "$1" "$4" "$5" "$6"'
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let a user mount a small disk of its own (unshare -rm)")
    arguments = [ON_A_SMALL_DISK, running.url, str(SIZE), str(2 << 20)]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, "sh", tmp_path, sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        f"{tmp_path}/pinned/model.onnx can't be written: the disk is full",
        "['.part']",
    ], done.stderr


def test_the_memory_of_a_download_does_not_grow_with_the_file(running: Hub, folder: Path) -> None:
    content = bytes(64 << 20)
    large = replace(FILE, sha256=sha256(content), size=len(content))
    running.put(FILE.repo, REVISION, FILE.path, content)
    before, seen = resident_megabytes(), []

    pull(
        replace(MODEL, files=(large,)),
        folder.parent,
        lambda *_step: seen.append(resident_megabytes()),
        endpoint=running.url,
    )

    assert max(seen) - before < 32


def resident_megabytes() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() // 2**20
