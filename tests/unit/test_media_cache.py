"""The cache of media items, between real stores, a real server and real processes."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from media_inference.errors import DependencyAway, ErrorCode, JobError, PermanentError, TransientError
from media_inference.media.catalog import open_media_store
from media_inference.media.http_store import HttpStore
from media_inference.media.media_cache import MediaCache
from media_inference.media.store_kind import StoreOptions
from tests.stands.hostile_store import HostileStore, Visit

PHOTO = bytes(range(256)) * 40
ROOM = 1_000_000


class Album:
    """Answers with `content`, and with 304 to who has it."""

    def __init__(self) -> None:
        self.content = PHOTO
        self.headers = ['ETag: "one"']
        self.status: str | None = None
        self.full = 0
        self.confirmed = 0
        self.second = threading.Event()
        self.wait_for_second = 0.0

    def __call__(self, visit: Visit) -> None:
        asked = visit.header("if-none-match")
        if self.status is not None:
            visit.say(self.status, b"", *self.headers)
        elif asked is not None and f"ETag: {asked}" in self.headers:
            self.confirmed += 1
            visit.say("304 Not Modified", b"", *self.headers, length=False)
        else:
            self.full += 1
            if self.full > 1:
                self.second.set()
            self.second.wait(self.wait_for_second)
            visit.say("200 OK", self.content, *self.headers)


Open = Callable[..., HttpStore]


@pytest.fixture
def album() -> Album:
    return Album()


@pytest.fixture
def server(album: Album) -> Iterator[HostileStore]:
    server = HostileStore(album)
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "media"


@pytest.fixture
def open_store(server: HostileStore, folder: Path) -> Iterator[Open]:
    """A store with a cache, as each process of a machine has one."""
    with ExitStack() as stack:

        def make(cache_bytes: int = ROOM, *, total_timeout: float = 5.0) -> HttpStore:
            options = StoreOptions(
                server.url, total_timeout=total_timeout, cache_dir=folder, cache_bytes=cache_bytes, read_timeout=5.0
            )
            store = HttpStore(options)
            stack.callback(store.close)
            return store

        yield make


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != "locks")


def _let_time_pass(folder: Path) -> None:
    """A second, so that what is used next is used later by any clock: those of file systems tick slowly."""
    for path in _entries(folder):
        then = path.stat().st_mtime - 1
        os.utime(path, (then, then))


def _failure(store: HttpStore) -> JobError:
    with pytest.raises(JobError) as caught:
        store.fetch("7")
    return caught.value


def test_an_item_that_several_jobs_need_is_fetched_once(album: Album, open_store: Open) -> None:
    stores = [open_store(), open_store()]
    assert [store.fetch("7") for store in stores for _ in range(3)] == [PHOTO] * 6
    assert (album.full, album.confirmed) == (1, 5)


def test_items_are_kept_apart(album: Album, open_store: Open) -> None:
    store = open_store()
    for name in ("7", "8", "a.jpg"):
        album.content = name.encode()
        assert store.fetch(name) == name.encode()
    assert [store.fetch(name) for name in ("7", "8", "a.jpg")] == [b"7", b"8", b"a.jpg"]
    assert album.full == 3


def test_an_item_that_changed_is_fetched_again(album: Album, open_store: Open) -> None:
    store = open_store()
    store.fetch("7")
    album.content, album.headers = b"new", ['ETag: "two"']
    assert [store.fetch("7") for _ in range(3)] == [b"new"] * 3
    assert album.full == 2


def test_a_weak_etag_is_good_enough(album: Album, open_store: Open) -> None:
    album.headers = ['ETag: W/"one"']
    store = open_store()
    assert [store.fetch("7") for _ in range(3)] == [PHOTO] * 3
    assert album.full == 1


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["ETag: one"],
        ["ETag:"],
        ['ETag: "a b"'],
        ['ETag: "' + "x" * 5000 + '"'],
        ['ETag: "a", "b"'],
        ['ETag: "\xe9"'],
        ["ETag: *"],
        ['ETag: "one"', "Cache-Control: private, No-Store"],
    ],
    ids=ascii,
)
def test_what_has_no_good_name_or_may_not_be_kept_is_not_kept(
    album: Album, open_store: Open, folder: Path, headers: list[str]
) -> None:
    album.headers = headers
    store = open_store()
    assert [store.fetch("7") for _ in range(2)] == [PHOTO] * 2
    assert album.full == 2
    assert _entries(folder) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:20]),
        lambda path: path.write_bytes(path.read_bytes() + b"!"),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\0" * 5000),
        lambda path: path.write_bytes(b"[]\n"),
        lambda path: path.write_bytes(b'{"etag": 1, "size": 0}\n'),
        lambda path: path.write_bytes(b"x" * 5000 + path.read_bytes()),
        lambda path: path.write_bytes(path.read_bytes().replace(b'\\"one\\"', b'\\"one\\r\\nX: y\\"')),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.rename(path.with_name("elsewhere")), path.symlink_to("elsewhere")),
    ],
    ids=[
        *("torn", "torn in the head", "longer", "a bit", "empty", "zeros", "no head", "half a head", "shifted"),
        *("header injected", "a folder", "a link"),
    ],
)
def test_a_damaged_entry_is_as_good_as_none(
    album: Album, open_store: Open, folder: Path, damage: Callable[[Path], object]
) -> None:
    store = open_store()
    store.fetch("7")
    (entry,) = _entries(folder)
    damage(entry)
    assert store.fetch("7") == PHOTO
    assert (album.full, album.confirmed) == (2, 0)


def test_a_damaged_entry_is_replaced(album: Album, open_store: Open, folder: Path) -> None:
    store = open_store()
    store.fetch("7")
    (entry,) = _entries(folder)
    entry.write_bytes(b"")
    assert [store.fetch("7") for _ in range(3)] == [PHOTO] * 3
    assert (album.full, album.confirmed) == (2, 2)


def test_nothing_is_served_that_the_store_did_not_confirm(album: Album, server: HostileStore, open_store: Open) -> None:
    store = open_store()
    store.fetch("7")
    album.status = "403 Forbidden"
    assert _failure(store).code == ErrorCode.MEDIA_FORBIDDEN
    album.status = "404 Not Found"
    assert _failure(store).code == ErrorCode.MEDIA_NOT_FOUND
    album.status = "500 Internal Server Error"
    assert type(_failure(store)) is TransientError
    album.status, album.headers = "304 Not Modified", ['ETag: "another"']
    assert type(_failure(store)) is TransientError
    server.close()
    assert isinstance(_failure(store), DependencyAway)


def test_the_cache_stays_below_its_size_and_what_was_used_last_stays(
    album: Album, open_store: Open, folder: Path
) -> None:
    store = open_store(5 * len(PHOTO))
    for number in range(30):
        store.fetch(str(number))
        _let_time_pass(folder)
        store.fetch("0")
        _let_time_pass(folder)
        assert sum(path.stat().st_size for path in _entries(folder)) <= 5 * len(PHOTO)
    assert album.full == 30
    store.fetch("29")
    assert album.full == 30
    store.fetch("2")
    assert album.full == 31


def test_an_item_larger_than_the_cache_is_not_kept(album: Album, open_store: Open, folder: Path) -> None:
    store = open_store(len(PHOTO) - 1)
    assert [store.fetch("7") for _ in range(2)] == [PHOTO] * 2
    assert album.full == 2
    assert _entries(folder) == []


def test_what_others_left_is_swept(open_store: Open, folder: Path) -> None:
    open_store(ROOM).fetch("7")
    left = folder / ".new-abandoned"
    left.write_bytes(bytes(2 * ROOM))
    open_store(ROOM).fetch("8")
    assert not left.exists()


def test_a_cache_that_can_not_be_written_fails_no_job(server: HostileStore, album: Album, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = HttpStore(StoreOptions(server.url, cache_dir=tmp_path / "file" / "cache"))
    assert [store.fetch("7") for _ in range(2)] == [PHOTO] * 2
    store.close()
    assert album.full == 2


def test_many_threads_fetch_an_item_once(album: Album, open_store: Open) -> None:
    stores = [open_store(), open_store()]
    with ThreadPoolExecutor(8) as threads:
        fetched = threads.map(lambda number: stores[number % 2].fetch(str(number // 8)), range(64))
        assert set(fetched) == {PHOTO}
    assert (album.full, album.confirmed) == (8, 56)


def test_threads_that_push_each_other_out_get_what_they_asked_for(open_store: Open) -> None:
    stores = [open_store(2 * len(PHOTO)), open_store(2 * len(PHOTO))]
    with ThreadPoolExecutor(8) as threads:
        fetched = threads.map(lambda number: stores[number % 2].fetch(str(number % 7)), range(200))
        assert set(fetched) == {PHOTO}


def test_who_waits_too_long_fetches_without_the_cache(album: Album, open_store: Open, server: HostileStore) -> None:
    store = open_store(total_timeout=1.5)
    album.content = b"fresh"
    with MediaCache(_folder_of(store), ROOM).place(f"{server.url}/media/7", 1.0):
        assert store.fetch("7") == b"fresh"
    assert store.fetch("7") == b"fresh"
    assert (album.full, album.confirmed) == (2, 0)


def _folder_of(store: HttpStore) -> Path:
    assert store._cache is not None
    return store._cache._folder


FETCH = """
import sys
from pathlib import Path
from media_inference.media.http_store import HttpStore
from media_inference.media.store_kind import StoreOptions
store = HttpStore(StoreOptions(sys.argv[1], cache_dir=Path(sys.argv[2])))
print("ready", flush=True)
sys.stdin.readline()
print(len(store.fetch("7")), flush=True)
store.close()
"""

HOLD = """
import sys
from pathlib import Path
from media_inference.media.media_cache import MediaCache
with MediaCache(Path(sys.argv[2]), 1000).place(sys.argv[1] + "/media/7", 1.0):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def _process(code: str, server: HostileStore, folder: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", code, server.url, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_that_want_an_item_at_once_fetch_it_once(
    album: Album, server: HostileStore, folder: Path
) -> None:
    album.wait_for_second = 1.0  # a second full request would come within this time
    processes = [_process(FETCH, server, folder) for _ in range(2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in processes] == [f"{len(PHOTO)}\n"] * 2
    assert (album.full, album.confirmed) == (1, 1)


def test_a_process_that_is_killed_holds_nobody_up(open_store: Open, server: HostileStore, folder: Path) -> None:
    with _process(HOLD, server, folder) as process:
        process.send_signal(signal.SIGKILL)
    store = open_store()
    store.fetch("7")
    assert len(_entries(folder)) == 1


def test_the_other_stores_need_no_cache(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "7").write_bytes(PHOTO)
    for url in (tmp_path.as_uri(), "stub:"):
        open_media_store(StoreOptions(url, cache_dir=folder)).fetch("7")
    assert not folder.exists()


def test_an_id_that_is_none_leaves_no_trace(open_store: Open, folder: Path) -> None:
    store = open_store()
    with pytest.raises(PermanentError):
        store.fetch("../7")
    assert _entries(folder) == []
    assert list((folder / "locks").iterdir()) == []
