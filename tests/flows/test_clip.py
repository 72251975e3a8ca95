"""A network of the shape of CLIP's ViT-B/32, through the running service, against ONNX Runtime called directly."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from media_inference.models.clip import CLIP_VIT_B_32
from media_inference.models.embedder import Embedder
from media_inference.models.kinds import Pixels
from media_inference.runtime.session import OrtSession
from tests.stands.clip_reference import clip_tensor
from tests.stands.model_files import clip_toml
from tests.stands.pictures import picture
from tests.stands.running_service import RunningService, running_service

pytestmark = pytest.mark.flow

SAME = 0.99999
# Each with the factor that its decode may be smaller by: a shorter side of 448 must remain.
PHOTOS = {
    "photos/astronaut.png": 1,
    "photos/cat.png": 1,
    "photos/coffee.png": 1,
    "photos/obama_1.jpg": 2,
    "photos/obama_and_biden.jpg": 1,
    "photos/biden_1.jpg": 2,
    "formats/exif_landscape_6.jpg": 2,
    "formats/exif_landscape_3.jpg": 2,
}

Vector = NDArray[np.float32]
Extent = tuple[float, float]
Direct = Callable[[Pixels, Extent | None], Vector]


@pytest.fixture(scope="module")
def direct(vit_b_32: Path) -> Direct:
    """Upright pixels to a unit vector, with nothing of the product."""
    session = onnxruntime.InferenceSession(str(vit_b_32), providers=["CPUExecutionProvider"])

    def embed(pixels: Pixels, extent: Extent | None = None) -> Vector:
        (output,) = session.run(["image_embeds"], {"pixel_values": clip_tensor(pixels, extent)})
        return np.asarray(output[0] / np.linalg.norm(output[0]))

    return embed


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, vit_b_32: Path) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("clip")
    custom = folder / "models" / "custom"
    custom.mkdir(parents=True)
    (custom / vit_b_32.name).symlink_to(vit_b_32)
    (custom / "my-clip.toml").write_text(clip_toml(vit_b_32))
    with running_service(folder, {"MODELS_DIR": str(folder / "models"), "IMAGE_MODEL": "my-clip"}) as service:
        yield service


def upright(path: Path, scale: int) -> Pixels:
    """What the service is to see, by Pillow alone: a JPEG decoded smaller by ``scale``, turned as its EXIF data say."""
    with Image.open(path) as image:
        if scale > 1:
            image.draft("RGB", (image.width // scale, image.height // scale))
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def extent(path: Path, scale: int) -> Extent:
    """How wide and high it is in pixels of that."""
    with Image.open(path) as image:
        width, height = ImageOps.exif_transpose(image).size
    return width / scale, height / scale


@pytest.mark.parametrize("photo", PHOTOS)
def test_a_vector_of_the_service_is_that_of_onnx_runtime_itself(
    service: RunningService, direct: Direct, shared: Path, photo: str
) -> None:
    media_id = service.add_media(shared / photo)
    job = service.finished(service.submit("image_embedding", media_id))
    assert job["status"] == "completed", job

    stored = np.frombuffer(service.vector(job["job_id"]), "<f4")
    expected = direct(upright(shared / photo, PHOTOS[photo]), extent(shared / photo, PHOTOS[photo]))

    assert float(stored @ expected) >= SAME
    (found,) = service.search("image_embeddings", vector=expected.tolist(), limit=1)
    assert found["id"] == job["result"]["point_id"]
    assert found["score"] >= SAME
    assert found["payload"]["model"] == "my-clip"


@pytest.mark.parametrize("size", [(4032, 3024), (4031, 3021)])
def test_a_photo_of_12_megapixels_has_the_vector_of_its_full_decode(
    service: RunningService, direct: Direct, shared: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    image = Image.fromarray(picture(shared / "photos" / "obama_and_biden.jpg"))
    photo = tmp_path / "large.jpg"
    image.resize(size, Image.Resampling.BICUBIC).save(photo, quality=92)

    job = service.finished(service.submit("image_embedding", service.add_media(photo)))

    stored = np.frombuffer(service.vector(job["job_id"]), "<f4")
    assert float(stored @ direct(upright(photo, 4), extent(photo, 4))) >= SAME
    assert float(stored @ direct(upright(photo, 1), None)) >= 0.999


def test_the_catalogues_entry_gives_the_vector_of_onnx_runtime_itself(
    vit_b_32: Path, direct: Direct, shared: Path
) -> None:
    session = OrtSession(vit_b_32.read_bytes(), model=CLIP_VIT_B_32.name, threads=2)
    network = CLIP_VIT_B_32.network(CLIP_VIT_B_32.name, {"model.onnx": session})
    assert isinstance(network, Embedder)
    pictures = [picture(shared / photo) for photo in PHOTOS]

    vectors = network.embed(pictures)

    expected = np.stack([direct(each, None) for each in pictures])
    assert (vectors * expected).sum(axis=1).min() >= SAME


@pytest.mark.parametrize(
    ("mistake", "make"),
    [
        ("blue before red", lambda pixels: clip_tensor(pixels[:, :, ::-1])),
        ("the crop a pixel off", lambda pixels: np.roll(clip_tensor(pixels), 1, axis=3)),
        ("units of 0..255", lambda pixels: clip_tensor(pixels) * 255),
        ("channels last", lambda pixels: clip_tensor(pixels).transpose(0, 2, 3, 1).reshape(1, 3, 224, 224)),
    ],
)
def test_a_mistake_in_the_input_shows_in_the_vector(
    vit_b_32: Path, direct: Direct, shared: Path, mistake: str, make: Callable[[Pixels], Vector]
) -> None:
    """Or the tests above would prove nothing: the weights are random, but the vector hangs on every pixel."""
    session = onnxruntime.InferenceSession(str(vit_b_32), providers=["CPUExecutionProvider"])
    pixels = picture(shared / "photos" / "obama_2.jpg")

    (wrong,) = session.run(["image_embeds"], {"pixel_values": np.ascontiguousarray(make(pixels))})

    assert float(wrong[0] @ direct(pixels, None) / np.linalg.norm(wrong[0])) < 0.999, mistake


def test_the_stand_has_the_shape_of_clips_tower(vit_b_32: Path) -> None:
    import onnx

    graph = onnx.load(vit_b_32).graph
    operators = [node.op_type for node in graph.node]
    assert (operators.count("Sigmoid"), operators.count("Erf"), operators.count("Softmax")) == (12, 0, 12)
    weights = sum(int(np.prod(tensor.dims)) for tensor in graph.initializer)
    assert weights == pytest.approx(87_850_000, rel=0.001)
