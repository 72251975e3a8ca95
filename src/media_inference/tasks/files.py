"""The files that tasks leave beside a result."""

from media_inference.jobs.job import JsonObject
from media_inference.jobs.outcome import Artifact, Vector

VECTOR_FILE = "embedding.bin"


def vector_file(name: str, vector: Vector) -> Artifact:
    """A vector as 512 little-endian float32: ``numpy.fromfile(path, "<f4")``."""
    return Artifact(name, vector.astype("<f4").tobytes())


def crop_file(index: int, crop: bytes) -> Artifact:
    """A face's crop, a JPEG, as ``faces/{index}.jpg``."""
    return Artifact(_crop_name(index), crop)


def face_vector_name(index: int) -> str:
    """Where the vector of a face goes."""
    return f"faces/{index}.bin"


def crop_names(result: JsonObject) -> dict[str, None]:
    """The crops that a result with faces promises."""
    return dict.fromkeys(_crop_name(index) for index in range(result["face_count"]))


def face_vector_names(result: JsonObject) -> dict[str, int]:
    """The vector files that a result with embedded faces promises, each with its place in the embedding set."""
    return {face_vector_name(index): index for index in range(result["face_count"])}


def _crop_name(index: int) -> str:
    return f"faces/{index}.jpg"
