"""The networks a task may use."""

from dataclasses import dataclass

from media_inference.models.kinds import FaceDetector, FaceEmbedder, ImageEmbedder


@dataclass(frozen=True, slots=True)
class Toolbox:
    """One loaded network of each kind."""

    image_embedder: ImageEmbedder
    face_detector: FaceDetector
    face_embedder: FaceEmbedder
