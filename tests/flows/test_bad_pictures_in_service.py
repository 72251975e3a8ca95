"""Bad files of every kind through the whole service, with good photos between them, in a folder of the user."""

import random
import shutil
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from media_inference.tasks.catalog import TASKS
from tests.corpus.bombs import slow_jpeg
from tests.corpus.case import BadFile
from tests.corpus.whole import sample
from tests.stands.running_service import Json, running_service

pytestmark = pytest.mark.flow

SEED = 1
BAD, GOOD = 150, 20
PHOTOS = {"photos/obama_1_240p.jpg": 1, "photos/cat.png": 0, "formats/face.webp": 1, "formats/face_exif6.jpg": 1}
"""Small ones, and how many faces the built-in detector finds."""
ENDINGS = ("jpg", "png", "heic", "tif", "gif", "pdf", "txt")
"""Of file names. They say nothing: most files here are called something that they are not."""


@pytest.fixture
def bad_files(shared: Path) -> dict[str, BadFile]:
    """By file name: as many of each kind as there are, as far as they go, in no order."""
    chance, by_kind = random.Random(SEED), dict[str, list[BadFile]]()  # noqa: S311  # not a secret
    for case in sample(shared / "formats", SEED, share=5):
        by_kind.setdefault(case.kind, []).append(case)
    chosen = [case for row in by_kind.values() for case in chance.sample(row, min(len(row), BAD // len(by_kind) + 5))]
    chance.shuffle(chosen)
    return {f"bad-{number}.{ending}": case for (number, case), ending in zip(enumerate(chosen), cycle(ENDINGS))}


def test_bad_files_fail_alone_and_good_photos_complete(
    tmp_path: Path, shared: Path, bad_files: dict[str, BadFile]
) -> None:
    assert len(bad_files) >= BAD
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, case in bad_files.items():
        (folder / name).write_bytes(case.content)
    good = _put_good_photos(folder, shared)

    with running_service(tmp_path, {"MEDIA_STORE_URL": folder.as_uri()}) as service:
        workers = service.worker_pids()
        jobs = [
            (name, service.submit(task, name)) for name in _mixed(list(bad_files), list(good)) for task in sorted(TASKS)
        ]
        ended = [(name, service.finished(job_id)) for name, job_id in jobs]
        assert service.worker_pids() == workers, "a worker died"
        assert service.request("GET", "/health").status_code == 200
    wrong = [
        f"{name}: {bad_files[name].kind}: {bad_files[name].name}: {fault}"
        for name, job in ended
        if name in bad_files
        for fault in _faults(bad_files[name], job)
    ]
    assert wrong == []
    assert [job for name, job in ended if name in good and not _is_right(job, good[name])] == []


def test_a_photo_that_crashes_its_decoder_fails_alone(tmp_path: Path, shared: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "slow.jpg").write_bytes(slow_jpeg())
    good = _put_good_photos(folder, shared)
    with running_service(tmp_path, {"MEDIA_STORE_URL": folder.as_uri(), "DECODE_TIMEOUT": "3"}) as service:
        workers = service.worker_pids()
        names = ["good-0.jpg", "slow.jpg", "good-1.jpg", "good-2.jpg"]
        jobs = {name: service.finished(job) for name, job in [(n, service.submit("face_detection", n)) for n in names]}
        assert service.worker_pids() == workers
    slow = jobs.pop("slow.jpg")
    assert (slow["error"]["code"], slow["error"]["retryable"], slow["attempts"]) == ("decoder_crashed", False, 1)
    assert all(_is_right(job, good[name]) for name, job in jobs.items())


def _put_good_photos(folder: Path, shared: Path) -> dict[str, int]:
    """Their names, and how many faces each has."""
    names = {}
    for number, (photo, faces) in zip(range(GOOD), cycle(PHOTOS.items())):
        name = f"good-{number}.jpg"
        shutil.copy(shared / photo, folder / name)
        names[name] = faces
    return names


def _mixed(bad: list[str], good: list[str]) -> Iterator[str]:
    """Good ones at equal distances."""
    every = len(bad) // len(good)
    for number, name in enumerate(bad):
        yield name
        if number % every == 0 and good:
            yield good.pop()
    yield from good


def _faults(case: BadFile, job: Json) -> Iterator[str]:
    if job["attempts"] != 1:
        yield f"took {job['attempts']} attempts"
    if job["status"] == "failed":
        if job["error"]["code"] not in case.codes or job["error"]["retryable"]:
            yield f"failed with {job['error']}"
    elif job["task_type"] != "image_embedding":
        image = job["result"]["image"]
        if (image["width"], image["height"]) not in case.sizes:
            yield f"is said to be {image}"
    elif not case.sizes:
        yield "completed"


def _is_right(job: Json, faces: int) -> bool:
    found = job["result"].get("face_count", faces) if job["status"] == "completed" else None
    return found == faces and job["attempts"] == 1
