"""The networks a task may use."""

from dataclasses import dataclass

from media_inference.models.kinds import FaceDetector, FaceEmbedder, ImageEmbedder, Kind


@dataclass(frozen=True, slots=True)
class Toolbox:
    """One loaded network of each kind."""

    image_embedder: ImageEmbedder
    face_detector: FaceDetector
    face_embedder: FaceEmbedder

    def models(self) -> dict[str, str]:
        """The model of each kind, by name."""
        return {
            Kind.IMAGE_EMBEDDER.value: self.image_embedder.name,
            Kind.FACE_DETECTOR.value: self.face_detector.name,
            Kind.FACE_EMBEDDER.value: self.face_embedder.name,
        }
