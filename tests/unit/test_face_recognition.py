"""Detector, alignment and a real face embedder together: the same person is near, others are far."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from media_inference.models.alignment import align
from media_inference.models.kinds import Vectors
from tests.stands.model_files import load_mobilefacenet, load_yunet
from tests.stands.pictures import picture

# Faces from left to right: person A, B or C.
PEOPLE = {
    "obama_1.jpg": "A",
    "obama_1_240p.jpg": "A",
    "obama_2.jpg": "A",
    "biden_1.jpg": "B",
    "obama_and_biden.jpg": "AB",
    "astronaut.png": "C",
}


@pytest.fixture(scope="module")
def faces(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Vectors]:
    models_dir = tmp_path_factory.mktemp("models")
    detector, embedder = load_yunet(models_dir, shared), load_mobilefacenet(models_dir, shared)
    aligned = []
    for photo in PEOPLE:
        pixels = picture(shared / "photos" / photo)
        found = sorted(detector.detect(pixels), key=lambda face: face.box[0])
        aligned += [align(pixels, face.landmarks) for face in found]
    return "".join(PEOPLE.values()), embedder.embed(aligned)


def test_the_same_person_is_near_and_others_are_far(faces: tuple[str, Vectors]) -> None:
    people, vectors = faces

    for (one, a), (other, b) in combinations(zip(people, vectors, strict=True), 2):
        cosine = float(a @ b)
        assert cosine >= 0.5 if one == other else cosine <= 0.2, (one, other, cosine)


def test_face_vectors_have_length_one(faces: tuple[str, Vectors]) -> None:
    _, vectors = faces

    assert vectors.shape == (7, 512)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
