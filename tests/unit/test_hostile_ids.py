"""A hostile media id never becomes another path or another request."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from media_inference.errors import ErrorCode, PermanentError
from media_inference.jobs.job import MEDIA_STORE_ID
from media_inference.media.folder_inbox import FolderInbox
from media_inference.media.folder_store import FolderStore
from media_inference.media.http_store import HttpStore
from media_inference.media.store import MediaStore, ResultUpload
from media_inference.media.store_kind import StoreOptions
from media_inference.media.stub_store import StubStore
from tests.stands.hostile_behaviours import BEHAVIOURS, PHOTO
from tests.stands.hostile_ids import HOSTILE_IDS, STRANGE_IDS
from tests.stands.hostile_store import HostileStore

UPLOAD = ResultUpload("job-1", "image_embedding", "gabor-512", {})


@pytest.fixture(scope="module")
def recorder() -> Iterator[HostileStore]:
    """A server that answers to everything and records what it was asked for."""
    server = HostileStore(BEHAVIOURS["honest"], thorough=True, patient=True)
    yield server
    server.close()


@pytest.fixture(scope="module")
def http(recorder: HostileStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpStore]:
    store = HttpStore(StoreOptions(recorder.url, "token", cache_dir=tmp_path_factory.mktemp("cache")))
    yield store
    store.close()


@pytest.fixture
def folders(tmp_path: Path) -> list[MediaStore]:
    """Folder stores beside a secret; there is nothing in them."""
    for name in ("secret", "passwd"):
        (tmp_path / name).write_bytes(b"secret")
    (tmp_path / "media").mkdir()
    return [FolderStore(tmp_path / "media"), FolderInbox(tmp_path / "media")]


def test_there_are_enough_hostile_ids() -> None:
    assert len(HOSTILE_IDS) >= 190
    assert not [each for each in HOSTILE_IDS if MEDIA_STORE_ID.fullmatch(each)]
    assert all(MEDIA_STORE_ID.fullmatch(each) for each in STRANGE_IDS)


@pytest.mark.parametrize("media_store_id", HOSTILE_IDS, ids=ascii)
def test_a_hostile_id_is_no_request(recorder: HostileStore, http: HttpStore, media_store_id: str) -> None:
    asked = len(recorder.heads)
    for run in (lambda: http.fetch(media_store_id), lambda: http.upload(media_store_id, UPLOAD)):
        with pytest.raises(PermanentError) as caught:
            run()
        assert caught.value.code == ErrorCode.MEDIA_NOT_FOUND
    assert len(recorder.heads) == asked


@pytest.mark.parametrize("media_store_id", STRANGE_IDS, ids=ascii)
def test_a_strange_id_is_a_request_for_this_item(recorder: HostileStore, http: HttpStore, media_store_id: str) -> None:
    asked = len(recorder.heads)
    assert http.fetch(media_store_id) == PHOTO
    http.upload(media_store_id, UPLOAD)
    path = f"/prefix/media/{quote(media_store_id, safe='')}"
    assert recorder.paths[asked:] == [path, f"{path}/results"]


@pytest.mark.parametrize("media_store_id", [*HOSTILE_IDS, *STRANGE_IDS], ids=ascii)
def test_no_id_leads_out_of_a_folder(tmp_path: Path, folders: list[MediaStore], media_store_id: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    for store in folders:
        with pytest.raises(PermanentError) as caught:
            store.fetch(media_store_id)
        assert caught.value.code == ErrorCode.MEDIA_NOT_FOUND
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("media_store_id", STRANGE_IDS, ids=ascii)
def test_a_strange_id_is_a_file_like_any_other(tmp_path: Path, folders: list[MediaStore], media_store_id: str) -> None:
    (tmp_path / "media" / media_store_id).write_bytes(b"photo")
    assert [store.fetch(media_store_id) for store in folders] == [b"photo"] * 2


@pytest.mark.parametrize("media_store_id", HOSTILE_IDS, ids=ascii)
def test_a_hostile_id_is_no_sample_picture(media_store_id: str) -> None:
    with pytest.raises(PermanentError):
        StubStore().fetch(media_store_id)


def test_a_link_in_the_folder_leads_nowhere_else(tmp_path: Path, folders: list[MediaStore]) -> None:
    (tmp_path / "media" / "link").symlink_to("../secret")
    (tmp_path / "media" / "root").symlink_to("/")
    (tmp_path / "media" / "loop").symlink_to("loop")
    for store in folders:
        for media_store_id in ("link", "root", "loop"):
            with pytest.raises(PermanentError):
                store.fetch(media_store_id)
