"""The default detector and a real face embedder, through the running service, against measured values."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.stands.model_files import MOBILEFACENET_TOML
from tests.stands.running_service import RunningService, running_service

pytestmark = pytest.mark.flow

# Measured with the detector's own file on these photos: score, and box as left, top, right, bottom.
GOLDEN = {
    "obama_1.jpg": [(0.946, (371, 90, 611, 419))],
    "obama_2.jpg": [(0.951, (202, 229, 477, 634))],
    "biden_1.jpg": [(0.927, (428, 177, 714, 575))],
    "obama_and_biden.jpg": [(0.929, (241, 30, 384, 227)), (0.922, (787, 47, 936, 254))],
    "astronaut.png": [(0.944, (179, 63, 270, 174))],
    "cat.png": [],
    "coffee.png": [],
    "rocket.jpg": [],
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("real-models")
    _place(shared / "models" / "face_detection_yunet_2023mar.onnx", folder / "models" / "yunet-2023mar")
    custom = folder / "models" / "custom"
    _place(shared / "models" / "mobilefacenet_512.onnx", custom)
    (custom / "mobilefacenet.toml").write_text(MOBILEFACENET_TOML)
    settings = {
        "MODELS_DIR": str(folder / "models"),
        "FACE_DETECTOR": "yunet-2023mar",
        "FACE_MODEL": "mobilefacenet",
    }
    with running_service(folder, settings) as service:
        yield service


@pytest.fixture(scope="module")
def media(service: RunningService, shared: Path) -> dict[str, str]:
    return {photo: service.add_media(shared / "photos" / photo) for photo in GOLDEN}


@pytest.mark.parametrize("photo", list(GOLDEN))
def test_yunet_gives_the_golden_boxes(service: RunningService, media: dict[str, str], photo: str) -> None:
    faces = service.run("face_detection", media[photo])["faces"]
    assert len(faces) == len(GOLDEN[photo])
    for face, (score, box) in zip(faces, GOLDEN[photo], strict=True):
        assert face["confidence"] == pytest.approx(score, abs=0.02)
        assert _edges(face["bbox"]) == pytest.approx(box, abs=3)


def test_eyes_of_the_astronaut_are_where_they_were_measured(service: RunningService, media: dict[str, str]) -> None:
    (face,) = service.run("face_detection", media["astronaut.png"])["faces"]
    assert face["landmarks"]["left_eye"] == pytest.approx((201.5, 105.1), abs=3)
    assert face["landmarks"]["right_eye"] == pytest.approx((245.3, 105.0), abs=3)


def test_the_same_person_is_recognised_and_different_people_are_told_apart(
    service: RunningService, media: dict[str, str]
) -> None:
    people: dict[str, list[NDArray[np.float32]]] = {"obama": [], "biden": [], "collins": []}
    for photo, owners in (
        ("obama_1.jpg", ["obama"]),
        ("obama_2.jpg", ["obama"]),
        ("biden_1.jpg", ["biden"]),
        ("astronaut.png", ["collins"]),
    ):
        for owner, vector in zip(owners, _face_vectors(service, media[photo]), strict=True):
            people[owner].append(vector)
    left_to_right = _face_vectors(service, media["obama_and_biden.jpg"])
    people["obama"].append(left_to_right[0])
    people["biden"].append(left_to_right[1])
    for vectors in people.values():
        for one, other in combinations(vectors, 2):
            assert float(one @ other) >= 0.5
    for name, other_name in combinations(people, 2):
        for one in people[name]:
            for other in people[other_name]:
                assert float(one @ other) <= 0.2


def test_faces_are_found_again_by_search(service: RunningService, media: dict[str, str]) -> None:
    for photo in ("obama_1.jpg", "obama_2.jpg", "biden_1.jpg"):
        service.run("face_embedding", media[photo])
    best = service.search("faces", point_id=int(media["obama_1.jpg"]) * 1000, limit=1)[0]
    assert best["score"] >= 0.5
    assert best["payload"]["model"] == "mobilefacenet"


def test_the_models_in_use_are_told_by_health(service: RunningService) -> None:
    workers = service.request("GET", "/health").json()["checks"]["workers"]
    assert workers["models"] == {
        "image_embedder": "gabor-512",
        "face_detector": "yunet-2023mar",
        "face_embedder": "mobilefacenet",
    }
    assert workers["devices"] == ["cpu"]


def _place(file: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / file.name).write_bytes(file.read_bytes())


def _edges(bbox: dict[str, Any]) -> tuple[float, float, float, float]:
    return bbox["x"], bbox["y"], bbox["x"] + bbox["width"], bbox["y"] + bbox["height"]


def _face_vectors(service: RunningService, media_id: str) -> list[NDArray[np.float32]]:
    """The vectors of a photo's faces, from left to right."""
    job = service.finished(service.submit("face_embedding", media_id))
    faces = sorted(job["result"]["faces"], key=lambda face: float(face["bbox"]["x"]))
    return [np.frombuffer(service.vector(job["job_id"], f"faces/{face['face_index']}.bin"), "<f4") for face in faces]
