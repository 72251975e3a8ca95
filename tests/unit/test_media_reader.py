"""Fetch once, decode when asked, decode again only for more."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from media_inference.errors import ErrorCode, PermanentError
from media_inference.media.decoder import Decoder
from media_inference.media.folder_store import FolderStore
from media_inference.media.reader import MediaReader


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    opened = Decoder()
    yield opened
    opened.close()


@pytest.fixture
def reader(decoder: Decoder, shared: Path) -> MediaReader:
    return MediaReader(FolderStore(shared / "photos"), decoder)


def test_a_finer_picture_serves_whoever_wants_a_coarser_one(reader: MediaReader) -> None:
    media = reader.open("biden_1.jpg")
    medium = media.picture(long_side=640)
    assert (medium.width, medium.height) == (485, 1102)
    assert media.picture(short_side=224) is medium
    assert media.picture(long_side=1102) is medium
    full = media.picture()
    assert full.is_full
    assert media.picture(long_side=640) is full
    assert media.picture(short_side=99_999) is full


def test_a_coarser_picture_does_not_serve_whoever_wants_more(reader: MediaReader) -> None:
    media = reader.open("biden_1.jpg")
    assert media.picture(short_side=224).width == 485
    assert media.picture(short_side=486).width == 970


def test_a_png_is_decoded_once_whatever_is_asked_of_it(reader: MediaReader) -> None:
    media = reader.open("cat.png")
    assert media.picture(short_side=10) is media.picture()


def test_an_item_is_fetched_once(decoder: Decoder, shared: Path, tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes((shared / "photos" / "cat.png").read_bytes())
    media = MediaReader(FolderStore(tmp_path), decoder).open("1")
    (tmp_path / "1").unlink()
    assert media.picture().width == 451


def test_a_missing_item_is_told_when_it_is_opened(reader: MediaReader) -> None:
    with pytest.raises(PermanentError) as caught:
        reader.open("nobody.jpg")
    assert caught.value.code == ErrorCode.MEDIA_NOT_FOUND


def test_a_file_that_is_no_picture_is_told_when_it_is_decoded(reader: MediaReader) -> None:
    media = reader.open("README.md")
    with pytest.raises(PermanentError) as caught:
        media.picture()
    assert caught.value.code == ErrorCode.UNSUPPORTED_FORMAT
