"""The folder store and its inbox, where a file system is hostile or several writers meet."""

import errno
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from media_inference.errors import CannotStart, ErrorCode, PermanentError, TransientError, UploadRefused
from media_inference.media.catalog import open_media_store
from media_inference.media.folder_inbox import ABANDONED_AFTER_SECONDS, FolderInbox
from media_inference.media.folder_store import FolderStore
from media_inference.media.store_kind import StoreOptions
from tests.stands.synced import watch_syncs

NOBODY = 65534


def _code(store: FolderStore, media_store_id: str) -> ErrorCode:
    with pytest.raises(PermanentError) as caught:
        store.fetch(media_store_id)
    return caught.value.code


def test_a_fifo_is_media_not_found_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert _code(FolderStore(tmp_path), "pipe") == ErrorCode.MEDIA_NOT_FOUND


def test_a_folder_is_media_not_found(tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    assert _code(FolderStore(tmp_path), "album") == ErrorCode.MEDIA_NOT_FOUND


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is open")
def test_what_is_no_file_is_not_left_open(tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    store, before = FolderStore(tmp_path), _open_files()
    for _ in range(10):
        _code(store, "album")
    assert _open_files() == before


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_link_inside_the_folder_stands_for_its_file(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"photo")
    (tmp_path / "1").symlink_to("photo.jpg")
    assert FolderStore(tmp_path).fetch("1") == b"photo"


@pytest.mark.parametrize("target", ["../secret", "/etc/hostname", "../media-2/photo", "."])
def test_a_link_never_leads_outside_the_folder(tmp_path: Path, target: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "media-2").mkdir()
    (tmp_path / "media-2" / "photo").write_bytes(b"a neighbour whose name starts the same")
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "1").symlink_to(target)
    assert _code(FolderStore(folder), "1") == ErrorCode.MEDIA_NOT_FOUND


def test_a_loop_of_links_is_media_not_found(tmp_path: Path) -> None:
    (tmp_path / "1").symlink_to("2")
    (tmp_path / "2").symlink_to("1")
    assert _code(FolderStore(tmp_path), "1") == ErrorCode.MEDIA_NOT_FOUND


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "1").write_bytes(b"photo")
    (tmp_path / "media").symlink_to("disk")
    assert FolderStore(tmp_path / "media").fetch("1") == b"photo"


def test_a_file_of_exactly_the_limit_is_taken(tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(bytes(10))
    assert FolderStore(tmp_path, max_bytes=10).fetch("1") == bytes(10)


def test_a_file_that_may_not_be_read_is_media_forbidden() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "1").touch(mode=0)
        store = FolderStore(Path(folder))
        with _as_nobody():
            assert _code(store, "1") == ErrorCode.MEDIA_FORBIDDEN


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Root may read everything, so root becomes nobody for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("url", ["file://relative/path", "file:", "ftp://host/x", "photos", "http:///x", ""])
def test_a_url_that_names_no_store_stops_the_start(url: str) -> None:
    with pytest.raises(CannotStart):
        open_media_store(StoreOptions(url))


def test_uploads_are_numbered_from_one(tmp_path: Path) -> None:
    inbox = FolderInbox(tmp_path / "new" / "media")
    assert [inbox.add(io.BytesIO(content)) for content in (b"a", b"b")] == ["1", "2"]
    assert inbox.fetch("2") == b"b"


def test_numbering_goes_on_after_a_restart_and_beside_other_names(tmp_path: Path) -> None:
    for name in ("41", "007", "holiday.jpg", "99999999999999999999", "4²"):
        (tmp_path / name).touch()
    assert FolderInbox(tmp_path).add(io.BytesIO(b"a")) == "42"


@pytest.mark.parametrize("content", [b"", bytes(11)])
def test_an_empty_or_too_large_upload_is_refused_and_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    inbox = FolderInbox(tmp_path, max_bytes=10)
    with pytest.raises(UploadRefused):
        inbox.add(io.BytesIO(content))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, ErrorCode.STORAGE_FULL),
        (errno.EDQUOT, ErrorCode.STORAGE_FULL),
        (errno.EIO, ErrorCode.MEDIA_UNAVAILABLE),
    ],
)
def test_a_full_disk_is_storage_full_and_leaves_nothing(tmp_path: Path, number: int, code: ErrorCode) -> None:
    class Failing(io.BytesIO):
        def read(self, _: int | None = -1) -> bytes:
            raise OSError(number, "fails")

    with pytest.raises(TransientError) as caught:
        FolderInbox(tmp_path).add(Failing())
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_uploads_from_several_threads_and_processes_get_one_number_each(tmp_path: Path) -> None:
    program = (
        "import io, sys, pathlib; from media_inference.media.folder_inbox import FolderInbox;"
        "inbox = FolderInbox(pathlib.Path(sys.argv[1]));"
        "print(*[inbox.add(io.BytesIO(sys.argv[2].encode())) for _ in range(40)])"
    )
    others = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name], stdout=subprocess.PIPE, text=True)
        for name in ("one", "other")
    ]
    inbox = FolderInbox(tmp_path)
    with ThreadPoolExecutor(4) as threads:
        here = list(threads.map(lambda _: inbox.add(io.BytesIO(b"here")), range(40)))
    there = [process.communicate()[0].split() for process in others]

    given = [here, *there]
    assert sorted(int(number) for numbers in given for number in numbers) == list(range(1, 121))
    for numbers, content in zip(given, (b"here", b"one", b"other"), strict=True):
        assert {inbox.fetch(number) for number in numbers} == {content}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(map(str, range(1, 121)))


def test_an_upload_that_a_crash_left_behind_is_swept_once_it_is_old(tmp_path: Path) -> None:
    old, fresh = tmp_path / ".upload-old", tmp_path / ".upload-fresh"
    old.touch()
    fresh.touch()
    long_ago = time.time() - ABANDONED_AFTER_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    FolderInbox(tmp_path)
    assert list(tmp_path.iterdir()) == [fresh]


def test_the_api_process_loads_neither_numpy_nor_an_image_library() -> None:
    program = (
        "import sys, media_inference.media.store, media_inference.media.folder_inbox, media_inference.media.catalog;"
        "print(sorted({'numpy', 'PIL', 'pi_heif'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    assert found.stdout == "[]\n"


def test_the_folder_of_the_first_upload_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = watch_syncs(monkeypatch)
    FolderInbox(tmp_path / "media").add(io.BytesIO(b"photo"))
    assert {tmp_path, tmp_path / "media"} <= set(synced)
