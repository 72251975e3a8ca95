"""The files that tasks leave beside a result."""

from media_inference.jobs.outcome import Artifact, Vector
from media_inference.media.jpeg import encode_jpeg
from media_inference.models.kinds import Pixels


def vector_file(name: str, vector: Vector) -> Artifact:
    """A vector as 512 little-endian float32: ``numpy.fromfile(path, "<f4")``."""
    return Artifact(name, vector.astype("<f4").tobytes())


def crop_file(index: int, crop: Pixels) -> Artifact:
    """A face's crop as ``faces/{index}.jpg``."""
    return Artifact(f"faces/{index}.jpg", encode_jpeg(crop))
