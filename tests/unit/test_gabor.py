"""The built-in descriptors find what looks alike."""

import io
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media_inference.models.alignment import align
from media_inference.models.embedder import Embedder
from media_inference.models.gabor import GABOR_512, GABOR_FACE_512
from media_inference.models.kinds import Pixels
from tests.stands.model_files import load_embedder, load_yunet
from tests.stands.pictures import noise, picture

DIFFERENT = [
    "astronaut.png",
    "biden_1.jpg",
    "cat.png",
    "coffee.png",
    "obama_2.jpg",
    "obama_and_biden.jpg",
    "rocket.jpg",
]


@pytest.fixture(scope="module")
def gabor() -> Embedder:
    return load_embedder(GABOR_512)


def cosine(network: Embedder, one: Pixels, other: Pixels) -> float:
    a, b = network.embed([one, other])
    return float(a @ b)


def as_jpeg(pixels: Pixels, share: float, quality: int) -> Pixels:
    image = Image.fromarray(pixels)
    image = image.resize((int(image.width * share), int(image.height * share)))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as again:
        return np.asarray(again)


def test_one_photo_stored_in_four_orientations_is_one_picture(gabor: Embedder, shared: Path) -> None:
    upright = [picture(shared / "formats" / f"exif_landscape_{number}.jpg") for number in (1, 3, 6, 8)]
    vectors = gabor.embed(upright)

    assert (vectors @ vectors.T).min() >= 0.99


def test_different_photos_are_far_apart(gabor: Embedder, shared: Path) -> None:
    vectors = gabor.embed([picture(shared / "photos" / name) for name in DIFFERENT])

    cosines = [float(a @ b) for a, b in combinations(vectors, 2)]
    assert max(cosines) < 0.7
    assert float(np.median(cosines)) < 0.4


@pytest.mark.parametrize("photo", DIFFERENT)
def test_a_smaller_worse_or_darker_copy_is_the_same_picture(gabor: Embedder, shared: Path, photo: str) -> None:
    pixels = picture(shared / "photos" / photo)

    assert cosine(gabor, pixels, as_jpeg(pixels, 0.5, 40)) > 0.98
    assert cosine(gabor, pixels, (pixels * 0.6).astype(np.uint8)) > 0.97


@pytest.mark.parametrize("photo", DIFFERENT)
def test_a_copy_cut_by_a_tenth_is_nearer_than_any_different_photo(gabor: Embedder, shared: Path, photo: str) -> None:
    pixels = picture(shared / "photos" / photo)
    height, width = (length // 20 for length in pixels.shape[:2])

    assert cosine(gabor, pixels, pixels[height:-height, width:-width]) > 0.85


def test_a_stereo_pair_is_nearer_than_any_two_different_photos(gabor: Embedder) -> None:
    data = pytest.importorskip("skimage.data", reason="the photos of scikit-image are not installed")
    left, right = (np.ascontiguousarray(side) for side in data.stereo_motorcycle()[:2])

    assert cosine(gabor, left, right) > 0.93


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_plain_picture_has_a_vector(gabor: Embedder, level: int) -> None:
    (vector,) = gabor.embed([np.full((1, 1, 3), level, np.uint8)])

    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert cosine(gabor, np.full((30, 20, 3), level, np.uint8), np.full((50, 50, 3), 100, np.uint8)) > 0.999


def test_plain_pictures_of_one_colour_are_the_same_picture(gabor: Embedder) -> None:
    red = np.zeros((40, 60, 3), np.uint8) + np.array([200, 30, 30], np.uint8)

    assert cosine(gabor, red, red[:20]) > 0.999
    assert cosine(gabor, red, np.full((40, 60, 3), 100, np.uint8)) < 0.9


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 1), (700, 900)])
def test_every_size_of_picture_has_a_vector(gabor: Embedder, height: int, width: int) -> None:
    assert gabor.embed([noise(height, width)]).shape == (1, 512)


def test_a_picture_takes_less_than_30_ms(gabor: Embedder) -> None:
    pixels = noise(480, 640)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        gabor.embed([pixels])
        times.append(time.perf_counter() - start)

    assert min(times) < 0.03


def test_the_face_descriptor_finds_the_same_picture_of_a_face(shared: Path, tmp_path: Path) -> None:
    detector, network = load_yunet(tmp_path, shared), load_embedder(GABOR_FACE_512)

    def face(name: str, share: float = 1.0) -> Pixels:
        pixels = picture(shared / "photos" / name)
        pixels = pixels if share == 1.0 else as_jpeg(pixels, share, 60)
        return align(pixels, detector.detect(pixels)[0].landmarks)

    assert cosine(network, face("obama_1.jpg"), face("obama_1.jpg", 0.5)) > GABOR_FACE_512.threshold
    assert cosine(network, face("biden_1.jpg"), face("biden_1.jpg", 0.5)) > GABOR_FACE_512.threshold
    assert cosine(network, face("obama_1.jpg"), face("biden_1.jpg")) < 0.7
    assert cosine(network, face("obama_1.jpg"), face("astronaut.png")) < 0.7
