"""Fetch once, decode when asked, decode again only for more."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from media_inference.errors import ErrorCode, PermanentError
from media_inference.media.decoder import Decoder
from media_inference.media.folder_store import FolderStore
from media_inference.media.reader import ITEM_BYTES, KEPT_BYTES, MediaReader


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    opened = Decoder()
    yield opened
    opened.close()


@pytest.fixture
def reader(decoder: Decoder, shared: Path) -> MediaReader:
    return MediaReader(FolderStore(shared / "photos"), decoder)


def test_whoever_wants_a_coarser_picture_gets_the_coarsest_that_will_do(reader: MediaReader) -> None:
    with reader.open("biden_1.jpg") as media:
        medium = media.picture(long_side=640)
        assert (medium.width, medium.height) == (485, 1102)
        assert media.picture(short_side=224) is medium
        assert media.picture(long_side=1102) is medium
        full = media.picture()
        assert full.is_full
        assert media.picture(long_side=640) is medium
        assert media.picture(short_side=99_999) is full


def test_a_coarser_picture_does_not_serve_whoever_wants_more(reader: MediaReader) -> None:
    with reader.open("biden_1.jpg") as media:
        assert media.picture(short_side=224).width == 243
        assert media.picture(short_side=486).width == 970


def test_a_png_is_decoded_once_whatever_is_asked_of_it(reader: MediaReader) -> None:
    with reader.open("cat.png") as media:
        assert media.picture(short_side=10) is media.picture()


class Counting:
    """A store that counts, and waits at the gate with the first fetch."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.fetches = 0
        self.gate = threading.Event()
        self.gate.set()

    def fetch(self, media_store_id: str) -> bytes:
        self.fetches += 1
        content = self.content
        assert self.gate.wait(30)
        if media_store_id == "missing":
            raise PermanentError(ErrorCode.MEDIA_NOT_FOUND, "not there")
        return bytes(bytearray(content))

    def check(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def store(shared: Path) -> Counting:
    return Counting((shared / "photos" / "cat.png").read_bytes())


def test_jobs_claimed_before_a_fetch_began_share_it_and_all_that_is_made_of_it(
    store: Counting, decoder: Decoder
) -> None:
    reader, claimed_at, made = MediaReader(store, decoder), time.monotonic(), []
    store.gate.clear()

    def job(_number: int) -> int:
        with reader.open("1", since=claimed_at) as media:
            media.once("faces", lambda: made.append(1))
            return id(media.picture())

    with ThreadPoolExecutor(8) as threads:
        pictures = threads.map(job, range(8))
        store.gate.set()
        assert len(set(pictures)) == 1
    assert store.fetches == 1
    assert len(made) == 1


def test_a_job_that_was_claimed_later_sees_what_has_changed_since(store: Counting, decoder: Decoder) -> None:
    reader = MediaReader(store, decoder)
    with reader.open("1") as before:
        picture = before.picture()
        with reader.open("1") as same:
            assert same.picture() is picture
        store.content += b" "
        with reader.open("1", since=time.monotonic()) as after:
            assert after.content == store.content
            assert after.picture() is not picture
    assert store.fetches == 3


def test_what_nobody_uses_is_kept_for_a_while_and_let_go_when_there_is_no_work(
    store: Counting, decoder: Decoder
) -> None:
    reader = MediaReader(store, decoder)
    with reader.open("1") as media:
        picture = media.picture()
    with reader.open("1") as media:
        assert media.picture() is picture
    reader.forget()
    with reader.open("1") as media:
        assert media.picture() is not picture


def test_no_more_is_kept_than_there_is_room_for(decoder: Decoder) -> None:
    store = Counting(bytes(KEPT_BYTES // 2 - 1))
    reader = MediaReader(store, decoder)
    opened = []
    for media_store_id in ("1", "2", "3"):
        with reader.open(media_store_id) as media:
            opened.append(media)
    with reader.open("3") as third, reader.open("1") as first:
        assert third is opened[2]
        assert first is not opened[0]


def test_of_the_smallest_items_not_all_are_kept_either(decoder: Decoder) -> None:
    reader = MediaReader(Counting(b"x"), decoder)
    most = KEPT_BYTES // ITEM_BYTES
    opened = {}
    for number in range(most + 10):
        with reader.open(str(number)) as media:
            opened[number] = media
    with reader.open("0") as first, reader.open(str(most + 9)) as last:
        assert first is not opened[0]
        assert last is opened[most + 9]


def test_an_error_is_told_to_all_who_waited_and_not_kept(store: Counting, decoder: Decoder) -> None:
    reader, claimed_at = MediaReader(store, decoder), time.monotonic()
    for _ in range(2):
        with pytest.raises(PermanentError), reader.open("missing", since=claimed_at):
            pytest.fail("opened")
    assert store.fetches == 2


def test_a_missing_item_is_told_when_it_is_opened(reader: MediaReader) -> None:
    with pytest.raises(PermanentError) as caught, reader.open("nobody.jpg"):
        pytest.fail("opened")
    assert caught.value.code == ErrorCode.MEDIA_NOT_FOUND


def test_a_file_that_is_no_picture_is_told_when_it_is_decoded(reader: MediaReader) -> None:
    with reader.open("README.md") as media, pytest.raises(PermanentError) as caught:
        media.picture()
    assert caught.value.code == ErrorCode.UNSUPPORTED_FORMAT


def test_what_is_kept_never_takes_all_the_room_that_pictures_have(shared: Path) -> None:
    narrow = Decoder(most_decoded=1)
    try:
        reader = MediaReader(FolderStore(shared / "photos"), narrow)
        for name in ("cat.png", "coffee.png", "cat.png"):
            with ThreadPoolExecutor(1) as threads, reader.open(name) as media:
                assert threads.submit(media.picture).result(20).is_full
    finally:
        narrow.close()
