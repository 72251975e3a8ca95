"""Faces are embedded from as many pixels as there are, and from no noise of pixels that were passed over."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from media_inference.jobs.job import Claim
from media_inference.media.decoder import Decoder
from media_inference.media.reader import Media
from media_inference.models.alignment import align, similarity
from media_inference.models.embedder import Embedder
from media_inference.models.kinds import Pixels
from media_inference.models.looks import Looks
from media_inference.models.yunet import YuNet
from media_inference.tasks.face_embedding import embed_faces
from media_inference.tasks.toolbox import Toolbox
from tests.stands.model_files import builtin_toolbox, load_mobilefacenet, load_yunet
from tests.stands.pictures import around, enlarged, picture

CLAIM = Claim("job", "face_embedding", "7", 5, "token", 1, 0)
LARGE_FACES = ["biden_1.jpg", "obama_1.jpg", "obama_2.jpg", "obama_and_biden.jpg", "astronaut.png"]


@pytest.fixture(scope="module")
def yunet(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> YuNet:
    return load_yunet(tmp_path_factory.mktemp("detector"), shared)


@pytest.fixture(scope="module")
def embedder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    return load_mobilefacenet(tmp_path_factory.mktemp("embedder"), shared)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    opened = Decoder()
    yield opened
    opened.close()


@pytest.mark.parametrize("photo", ["obama_and_biden.jpg", "astronaut.png"])
def test_a_small_face_is_embedded_from_the_full_photo_and_not_from_the_smaller_one_it_was_found_in(
    yunet: YuNet, embedder: Embedder, decoder: Decoder, shared: Path, photo: str
) -> None:
    """Measured: 0.997 and more; from the smaller one 0.90 for a face with a width of 150 pixels, 0.64 for one of 90."""
    pixels = np.zeros((3000, 4000, 3), np.uint8)  # decoded with a quarter of its sides to look for faces
    part = picture(shared / "photos" / photo)
    pixels[500 : 500 + part.shape[0], 700 : 700 + part.shape[1]] = part
    content = as_jpeg(pixels)

    findings = embed_faces(
        CLAIM, Media(content, decoder), Toolbox(builtin_toolbox().image_embedder, Looks(yunet), embedder)
    )

    assert findings.embedding_set is not None
    found_in = Media(content, decoder).picture(long_side=yunet.long_side)
    assert (found_in.width, found_in.height) == (1000, 750)
    for point in findings.embedding_set.embeddings:
        landmarks = np.array(list(point.payload["landmarks"].values()), np.float32)
        sharp = vector_of(embedder, pixels, landmarks)
        blurred = vector_of(embedder, found_in.pixels, landmarks / np.float32(4))
        assert point.vector @ sharp > 0.99
        assert blurred @ sharp < 0.95


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("photo", LARGE_FACES)
def test_a_face_has_the_vector_of_the_same_face_in_a_larger_photo(
    yunet: YuNet, embedder: Embedder, shared: Path, photo: str, factor: int
) -> None:
    """Measured: 0.993 to 0.999; a photo made larger has no new detail, so one sample per pixel does as well here."""
    pixels, landmarks = face_of(yunet, picture(shared / "photos" / photo))

    larger = vector_of(embedder, *enlarged(pixels, landmarks, factor))

    assert larger @ vector_of(embedder, pixels, landmarks) > 0.99


@pytest.mark.parametrize("photo", LARGE_FACES)
def test_the_grain_of_a_large_photo_does_not_change_who_a_face_is(
    yunet: YuNet, embedder: Embedder, shared: Path, photo: str
) -> None:
    """Measured: 0.976 to 0.994; with one sample per pixel of the template 0.84 to 0.90."""
    pixels, landmarks = face_of(yunet, picture(shared / "photos" / photo))
    grainy, at = enlarged(pixels, landmarks, 4, noise=25)
    assert abs(similarity(at)[0]) < 0.25

    assert vector_of(embedder, grainy, at) @ vector_of(embedder, pixels, landmarks) > 0.95


def as_jpeg(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def face_of(yunet: YuNet, pixels: Pixels) -> tuple[Pixels, NDArray[np.float32]]:
    """The surest face with what is around it, and its landmarks."""
    return around(pixels, yunet.detect(pixels)[0].landmarks, 1.5)


def vector_of(embedder: Embedder, pixels: Pixels, landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(embedder.embed([align(pixels, landmarks)])[0])
