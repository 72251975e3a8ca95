"""The main job through the running service: photos in, faces and vectors out."""

import hashlib
import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stands.running_service import RunningService, running_service, until

pytestmark = pytest.mark.flow

PHOTOS = ("astronaut.png", "cat.png", "coffee.png", "rocket.jpg")
TASKS = ("image_embedding", "face_detection", "face_embedding")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with running_service(tmp_path_factory.mktemp("built-in")) as service:
        yield service


@pytest.fixture(scope="module")
def media(service: RunningService, shared: Path) -> dict[str, str]:
    return {photo: service.add_media(shared / "photos" / photo) for photo in PHOTOS}


def test_new_media_get_the_next_integer(media: dict[str, str]) -> None:
    first = int(media[PHOTOS[0]])  # 1, unless other tests came first
    assert list(media.values()) == [str(number) for number in range(first, first + len(PHOTOS))]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("photo", PHOTOS)
def test_every_task_completes_on_every_photo(
    service: RunningService, media: dict[str, str], photo: str, task: str
) -> None:
    result = service.run(task, media[photo])
    if task != "image_embedding":
        assert result["face_count"] == len(result["faces"]) == (1 if photo == "astronaut.png" else 0)


def test_a_worker_gives_way_to_the_api(service: RunningService) -> None:
    (worker,) = service.worker_pids()
    api = os.getpriority(os.PRIO_PROCESS, service.process.pid)
    assert os.getpriority(os.PRIO_PROCESS, worker) > api


def test_image_embedding_has_the_shape_of_the_contract(service: RunningService, media: dict[str, str]) -> None:
    job = service.finished(service.submit("image_embedding", media["cat.png"]))
    assert job["result"] == {
        "embedding_dimension": 512,
        "stored_in_vector_db": True,
        "collection": "image_embeddings",
        "point_id": int(media["cat.png"]),
    }
    assert set(job) == {
        "job_id",
        "task_type",
        "media_store_id",
        "status",
        "priority",
        "created_at",
        "started_at",
        "completed_at",
        "attempts",
        "result",
    }
    assert job["created_at"] <= job["started_at"] <= job["completed_at"]
    vector = np.frombuffer(service.vector(job["job_id"]), "<f4")
    assert vector.shape == (512,)
    assert math.isclose(float(np.linalg.norm(vector)), 1.0, abs_tol=1e-5)


def test_face_detection_has_the_shape_of_the_contract_and_its_crop_is_served(
    service: RunningService, media: dict[str, str]
) -> None:
    job = service.finished(service.submit("face_detection", media["astronaut.png"]))
    result = job["result"]
    assert set(result) == {"faces", "face_count", "image"}
    assert result["image"] == {"width": 512, "height": 512}
    (face,) = result["faces"]
    assert set(face) == {"face_index", "bbox", "confidence", "landmarks"}
    assert set(face["bbox"]) == {"x", "y", "width", "height"}
    assert list(face["landmarks"]) == ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"]
    assert face["landmarks"]["left_eye"][0] < face["landmarks"]["right_eye"][0]
    crop = service.request("GET", f"/job/{job['job_id']}/faces/0.jpg")
    assert crop.headers["content-type"] == "image/jpeg"
    assert crop.content.startswith(b"\xff\xd8\xff")
    assert service.request("GET", f"/job/{job['job_id']}/faces/1.jpg").status_code == 404


def test_face_embedding_has_the_shape_of_the_contract_and_its_files(
    service: RunningService, media: dict[str, str]
) -> None:
    job = service.finished(service.submit("face_embedding", media["astronaut.png"]))
    result = job["result"]
    assert set(result) == {"faces", "face_count", "stored_in_vector_db", "image"}
    (face,) = result["faces"]
    assert set(face) == {
        "face_index",
        "bbox",
        "confidence",
        "embedding_dimension",
        "point_id",
        "stored_in_vector_db",
    }
    assert face["point_id"] == int(media["astronaut.png"]) * 1000
    assert len(service.vector(job["job_id"], "faces/0.bin")) == 2048
    assert service.vector(job["job_id"], "faces/0.jpg").startswith(b"\xff\xd8\xff")


def test_a_completed_job_is_searchable_and_the_asking_point_is_left_out(
    service: RunningService, media: dict[str, str]
) -> None:
    for photo in PHOTOS:
        service.run("image_embedding", media[photo])
    points = {photo: int(media[photo]) for photo in PHOTOS}
    hits = service.search("image_embeddings", media_store_id=media["cat.png"], limit=100)
    found = {hit["id"] for hit in hits}  # with the pictures of tests that came first, if any did
    assert found & {*points.values()} == {point for photo, point in points.items() if photo != "cat.png"}
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    assert set(hits[0]["payload"]) == {"job_id", "media_store_id", "task_type", "model"}
    assert service.search("image_embeddings", point_id=points["cat.png"], limit=100) == hits


def test_searching_by_vector_finds_the_picture_itself_first(service: RunningService, media: dict[str, str]) -> None:
    job = service.finished(service.submit("image_embedding", media["rocket.jpg"]))
    vector = np.frombuffer(service.vector(job["job_id"]), "<f4").tolist()
    best = service.search("image_embeddings", vector=vector, limit=1)[0]
    assert best["id"] == int(media["rocket.jpg"])
    assert best["score"] == pytest.approx(1.0, abs=1e-4)


def test_a_face_point_carries_the_payload_of_the_seed(service: RunningService, media: dict[str, str]) -> None:
    job = service.finished(service.submit("face_embedding", media["astronaut.png"]))
    vector = np.frombuffer(service.vector(job["job_id"], "faces/0.bin"), "<f4").tolist()
    payload = service.search("faces", vector=vector, limit=1)[0]["payload"]
    assert set(payload) == {
        "job_id",
        "media_store_id",
        "face_index",
        "bbox",
        "landmarks",
        "confidence",
        "task_type",
        "model",
    }
    assert payload["media_store_id"] == int(media["astronaut.png"])


def test_four_orientations_of_a_picture_have_nearly_the_same_vector(service: RunningService, shared: Path) -> None:
    vectors = []
    for orientation in (1, 3, 6, 8):
        media_id = service.add_media(shared / "formats" / f"exif_landscape_{orientation}.jpg")
        job = service.finished(service.submit("image_embedding", media_id))
        vectors.append(np.frombuffer(service.vector(job["job_id"]), "<f4"))
    assert float(np.min(np.array(vectors) @ np.array(vectors).T)) >= 0.99


@pytest.mark.parametrize("name", ["face_exif6.jpg", "face.webp", "face.avif"])
def test_one_face_is_found_whatever_the_format(service: RunningService, shared: Path, name: str) -> None:
    result = service.run("face_detection", service.add_media(shared / "formats" / name))
    assert result["face_count"] == 1


@pytest.mark.parametrize(
    "name", ["rgb8.heif", "pug.heic", "cmyk.jpg", "gray16.tif", "palette_alpha.gif", "animated.gif"]
)
def test_every_documented_format_is_embedded(service: RunningService, shared: Path, name: str) -> None:
    service.run("image_embedding", service.add_media(shared / "formats" / name))


def test_a_job_on_an_idle_service_waits_for_no_poll(tmp_path: Path, shared: Path) -> None:
    """With a minute between polls, only the wake-ups can bring a job, and then its vector, through."""
    with running_service(tmp_path, {"WORKER_POLL_INTERVAL": "60"}) as service:
        media_id = service.add_media(shared / "photos" / "obama_1_240p.jpg")
        for _ in range(3):
            job = service.finished(service.submit("image_embedding", media_id))
            assert job["status"] == "completed"
            assert job["completed_at"] - job["created_at"] < 30_000


def test_deleting_a_job_removes_its_files_and_keeps_its_vectors(service: RunningService, media: dict[str, str]) -> None:
    job_id = service.submit("image_embedding", media["coffee.png"])
    service.finished(job_id)
    assert service.request("DELETE", f"/job/{job_id}").status_code == 204
    assert service.request("GET", f"/job/{job_id}").status_code == 404
    assert not (service.data / "inference" / "jobs" / job_id).exists()
    assert service.search("image_embeddings", point_id=int(media["coffee.png"]), limit=1)


def test_a_later_face_embedding_leaves_no_point_of_the_older_one(
    service: RunningService, shared: Path, tmp_path: Path
) -> None:
    """The same media id shows two faces first, then none."""
    media_id = service.add_media(shared / "photos" / "obama_and_biden.jpg")
    before = _points(service, "faces")
    assert service.run("face_embedding", media_id)["face_count"] == 2
    assert _points(service, "faces") == before + 2
    stored = service.data / "media" / media_id
    stored.write_bytes((shared / "photos" / "cat.png").read_bytes())
    assert service.run("face_embedding", media_id)["face_count"] == 0
    assert _points(service, "faces") == before


def test_a_worker_that_dies_is_replaced_and_its_job_runs_again(service: RunningService, media: dict[str, str]) -> None:
    (pid,) = service.worker_pids()
    os.kill(pid, signal.SIGKILL)
    job = service.finished(service.submit("face_detection", media["astronaut.png"]))
    assert job["status"] == "completed"
    until(service.worker_pids, lambda pids: pids and pids != [pid])


def test_answers_say_nothing_of_the_machine(service: RunningService) -> None:
    answer = service.request("GET", "/job/nonsense")
    assert str(service.data) not in answer.text
    log = service.log.read_text()
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:4000]


def _points(service: RunningService, collection: str) -> int:
    stats: dict[str, Any] = service.request("GET", "/admin/stats").json()
    return int(stats["vectors"][collection])


def test_a_picture_is_stored_as_it_came(service: RunningService, shared: Path) -> None:
    photo = shared / "photos" / "rocket.jpg"
    stored = service.data / "media" / service.add_media(photo)
    assert hashlib.sha256(stored.read_bytes()).digest() == hashlib.sha256(photo.read_bytes()).digest()
