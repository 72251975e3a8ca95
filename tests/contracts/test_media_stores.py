"""What every media store promises."""

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from media_inference.errors import ErrorCode, PermanentError, TransientError
from media_inference.media.catalog import STORE_KINDS, open_media_store
from media_inference.media.folder_inbox import FolderInbox
from media_inference.media.store import MediaStore
from media_inference.media.store_kind import StoreOptions
from tests.stands.reference_store import ReferenceStore

MAX_BYTES = 1000
CONTENT = bytes(range(256)) * 2
BAD_IDS = ["", ".", "..", ".hidden", "../secret", "a/b", "a\\b", "photo\n", "x" * 129, "ä", "a b", "a%2Fb", "\0"]


@dataclass
class Stand:
    """A store that knows the items `photo.jpg` (CONTENT), `7` and `large` (too large), and a way to break it."""

    store: MediaStore
    take_away: Callable[[], object]


def _filled(folder: Path) -> Path:
    folder.mkdir()
    (folder / "photo.jpg").write_bytes(CONTENT)
    (folder / "7").write_bytes(CONTENT)
    (folder / "large").write_bytes(bytes(MAX_BYTES + 1))
    return folder


def _folder(tmp_path: Path, _: ReferenceStore) -> Iterator[Stand]:
    folder = _filled(tmp_path / "media")
    yield Stand(FolderInbox(folder, MAX_BYTES), lambda: shutil.rmtree(folder))


def _file(tmp_path: Path, _: ReferenceStore) -> Iterator[Stand]:
    folder = _filled(tmp_path / "some photos")
    store = open_media_store(StoreOptions(folder.as_uri(), max_bytes=MAX_BYTES))
    yield Stand(store, lambda: shutil.rmtree(folder))


def _plain_server(tmp_path: Path, _: ReferenceStore) -> Iterator[Stand]:
    """The least that a media_store service can be: no ETag, no Content-Length, no results."""
    folder = _filled(tmp_path / "media")

    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = folder.parent / self.path.removeprefix("/")
            self.send_response(200 if path.is_file() else 404)
            self.end_headers()
            if path.is_file():
                self.wfile.write(path.read_bytes())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def take_away() -> None:
            server.shutdown()
            server.server_close()

        store = open_media_store(StoreOptions(f"http://127.0.0.1:{server.server_port}/", max_bytes=MAX_BYTES))
        yield Stand(store, take_away)
        server.shutdown()
        thread.join()


def _reference(_: Path, server: ReferenceStore) -> Iterator[Stand]:
    store = open_media_store(StoreOptions(server.url, token=server.token, max_bytes=MAX_BYTES))
    yield Stand(store, server.kill)


def _reference_with_cache(tmp_path: Path, server: ReferenceStore) -> Iterator[Stand]:
    options = StoreOptions(server.url, token=server.token, max_bytes=MAX_BYTES, cache_dir=tmp_path / "cache")
    store = open_media_store(options)
    store.fetch("7")  # so that the cache is warm, which must make no difference
    yield Stand(store, server.kill)


STANDS = {
    "folder": _folder,
    "file": _file,
    "plain server": _plain_server,
    "reference server": _reference,
    "reference server, cache": _reference_with_cache,
}


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceStore]:
    with ReferenceStore(tmp_path_factory.mktemp("reference")) as server:
        server.put("photo.jpg", CONTENT)
        server.put("7", CONTENT)
        server.put("large", bytes(MAX_BYTES + 1))
        yield server


@pytest.fixture
def server(running_server: ReferenceStore) -> ReferenceStore:
    running_server.start()  # an earlier test may have taken it away
    return running_server


@pytest.fixture(params=STANDS)
def stand(request: pytest.FixtureRequest, tmp_path: Path, server: ReferenceStore) -> Iterator[Stand]:
    for made in STANDS[request.param](tmp_path, server):
        yield made
        made.store.close()


@pytest.fixture(params=[*STANDS, "stub"])
def store(request: pytest.FixtureRequest, tmp_path: Path, server: ReferenceStore) -> Iterator[MediaStore]:
    if request.param == "stub":
        yield open_media_store(StoreOptions("stub:", max_bytes=MAX_BYTES))
        return
    for made in STANDS[request.param](tmp_path, server):
        yield made.store
        made.store.close()


def test_every_kind_of_store_is_tested_here() -> None:
    assert set(STORE_KINDS) == {"file", "http", "https", "stub"}
    assert STORE_KINDS["https"].open is STORE_KINDS["http"].open


@pytest.mark.parametrize("media_store_id", ["photo.jpg", "7"])
def test_an_item_comes_back_byte_for_byte(stand: Stand, media_store_id: str) -> None:
    assert stand.store.fetch(media_store_id) == CONTENT


def test_an_item_is_the_same_each_time(store: MediaStore) -> None:
    assert store.fetch("7") == store.fetch("7") != b""


def test_an_unknown_item_is_media_not_found(stand: Stand) -> None:
    with pytest.raises(PermanentError) as caught:
        stand.store.fetch("8")
    assert caught.value.code == ErrorCode.MEDIA_NOT_FOUND


def test_the_stub_knows_every_item_and_no_two_are_alike() -> None:
    stub = open_media_store(StoreOptions("stub:"))
    pictures = {stub.fetch(str(number)) for number in range(20)}
    assert len(pictures) == 20
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


@pytest.mark.parametrize("media_store_id", BAD_IDS)
def test_what_is_no_id_is_media_not_found(store: MediaStore, media_store_id: str) -> None:
    with pytest.raises(PermanentError) as caught:
        store.fetch(media_store_id)
    assert caught.value.code == ErrorCode.MEDIA_NOT_FOUND


def test_an_item_past_the_byte_limit_is_image_too_large(stand: Stand) -> None:
    with pytest.raises(PermanentError) as caught:
        stand.store.fetch("large")
    assert caught.value.code == ErrorCode.IMAGE_TOO_LARGE


def test_a_store_that_is_there_passes_its_check(store: MediaStore) -> None:
    store.check()


def test_a_store_that_is_away_fails_its_check(stand: Stand) -> None:
    stand.take_away()
    with pytest.raises(TransientError) as caught:
        stand.store.check()
    assert caught.value.code == ErrorCode.MEDIA_UNAVAILABLE


@pytest.mark.parametrize("media_store_id", ["7", "8"])
def test_while_a_store_is_away_no_item_is_called_missing(stand: Stand, media_store_id: str) -> None:
    stand.take_away()
    with pytest.raises(TransientError) as caught:
        stand.store.fetch(media_store_id)
    assert caught.value.code == ErrorCode.MEDIA_UNAVAILABLE


def test_several_threads_fetch_at_once(stand: Stand) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(stand.store.fetch, ["7"] * 64)) == {CONTENT}


def test_messages_name_neither_folders_nor_addresses(stand: Stand, tmp_path: Path) -> None:
    messages = []
    for media_store_id in ("8", "large", "../x"):
        with pytest.raises(PermanentError) as caught:
            stand.store.fetch(media_store_id)
        messages.append(caught.value.message)
    stand.take_away()
    with pytest.raises(TransientError) as away:
        stand.store.fetch("7")
    messages.append(away.value.message)
    assert not [message for message in messages if str(tmp_path) in message or "127.0.0.1" in message]


def test_a_store_may_be_closed_twice(store: MediaStore) -> None:
    store.close()
    store.close()
