"""What every media store promises that takes results back."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from media_inference.errors import DependencyAway, ErrorCode, PermanentError
from media_inference.media.catalog import STORE_KINDS, open_result_sink
from media_inference.media.store import ResultSink, ResultUpload
from media_inference.media.store_kind import StoreOptions
from tests.stands.reference_store import ReferenceStore


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceStore]:
    with ReferenceStore(tmp_path_factory.mktemp("reference")) as server:
        server.put("7", b"a photo")
        yield server


@pytest.fixture
def server(running_server: ReferenceStore) -> ReferenceStore:
    running_server.start()  # an earlier test may have killed it
    return running_server


@pytest.fixture
def sink(server: ReferenceStore) -> Iterator[ResultSink]:
    opened = open_result_sink(StoreOptions(server.url, token=server.token))
    assert opened is not None
    yield opened
    opened.close()


@pytest.fixture
def upload(tmp_path: Path, request: pytest.FixtureRequest) -> ResultUpload:
    """Another job in each test."""
    paths = [tmp_path / f"{index}.jpg" for index in range(11)]
    for index, path in enumerate(paths):
        path.write_bytes(b"\xff\xd8" + bytes([index]) * 100_000)
    crops = tuple((f"face_{index}", path) for index, path in enumerate(paths))
    return ResultUpload(request.node.name.split("[")[0], "face_detection", "yunet-2023mar", {"name": "Zoë"}, crops)


def _found(server: ReferenceStore, job_id: str) -> list[dict[str, Any]]:
    return [found for found in server.results("7") if found["job_id"] == job_id]


def test_only_services_take_results() -> None:
    assert {scheme for scheme, kind in STORE_KINDS.items() if kind.open_sink} == {"http", "https"}
    assert open_result_sink(StoreOptions("stub:")) is None


def test_a_result_arrives_with_its_crops_byte_for_byte(
    server: ReferenceStore, sink: ResultSink, upload: ResultUpload
) -> None:
    sink.upload("7", upload)
    (found,) = _found(server, upload.job_id)
    assert [server.client.get(link).content for link in found.pop("crops")] == [
        path.read_bytes() for _, path in upload.crops
    ]
    assert found == {
        "job_id": upload.job_id,
        "task_type": "face_detection",
        "model": "yunet-2023mar",
        "result": {"name": "Zoë"},
    }


def test_a_result_without_model_and_crops_arrives_too(
    server: ReferenceStore, sink: ResultSink, upload: ResultUpload
) -> None:
    sink.upload("7", replace(upload, model=None, crops=()))
    (found,) = _found(server, upload.job_id)
    assert found["model"] is None
    assert found["crops"] == []


def test_a_result_that_is_sent_again_is_fine_and_there_once(
    server: ReferenceStore, sink: ResultSink, upload: ResultUpload
) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: sink.upload("7", upload), range(4)))
    assert len(_found(server, upload.job_id)) == 1
    assert server.stats()["upload_requests"][upload.job_id] == 4
    assert server.stats()["uploads"][upload.job_id] == 1


def test_a_result_for_an_unknown_item_is_media_not_found(sink: ResultSink, upload: ResultUpload) -> None:
    with pytest.raises(PermanentError) as caught:
        sink.upload("8", upload)
    assert caught.value.code == ErrorCode.MEDIA_NOT_FOUND


def test_a_result_that_contradicts_an_earlier_one_is_upload_rejected(
    server: ReferenceStore, sink: ResultSink, upload: ResultUpload
) -> None:
    sink.upload("7", upload)
    with pytest.raises(PermanentError) as caught:
        sink.upload("7", replace(upload, result={"name": "somebody else"}))
    assert caught.value.code == ErrorCode.UPLOAD_REJECTED
    assert _found(server, upload.job_id)[0]["result"] == {"name": "Zoë"}


def test_a_wrong_token_is_media_forbidden(server: ReferenceStore, upload: ResultUpload) -> None:
    stranger = open_result_sink(StoreOptions(server.url, token="wrong"))
    assert stranger is not None
    with pytest.raises(PermanentError) as caught:
        stranger.upload("7", upload)
    stranger.close()
    assert caught.value.code == ErrorCode.MEDIA_FORBIDDEN


def test_while_the_store_is_away_a_result_waits_and_later_it_arrives(
    server: ReferenceStore, sink: ResultSink, upload: ResultUpload
) -> None:
    server.kill()
    with pytest.raises(DependencyAway) as caught:
        sink.upload("7", upload)
    assert caught.value.dependency == "media_store"
    server.start()
    sink.upload("7", upload)
    assert len(_found(server, upload.job_id)) == 1
