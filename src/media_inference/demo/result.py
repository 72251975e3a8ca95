"""What the demo found, as plain values: the table, the report and the JSON are made from these alone."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from media_inference.models.kinds import Kind

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed, in the service's words."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A similar picture, or a similar face of one. ``image`` links to it, relative to the report."""

    name: str
    score: float
    image: str | None
    face_index: int | None = None


@dataclass(frozen=True, slots=True)
class Face:
    """A face; ``box`` is (x, y, width, height) in pixels of the upright full-size picture."""

    index: int
    box: tuple[float, float, float, float]
    landmarks: tuple[Point, ...]
    confidence: float
    crop: str | None = None
    neighbours: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True)
class JobResult:
    """How one job ended; times in milliseconds."""

    task_type: str
    status: str
    job_id: str | None = None
    waited_ms: int | None = None
    worked_ms: int | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class PhotoResult:
    """All about one photo. ``picture`` (annotated) and ``thumbnail`` are links relative to the report."""

    name: str
    jobs: tuple[JobResult, ...]
    media_store_id: str | None = None
    width: int | None = None
    height: int | None = None
    picture: str | None = None
    thumbnail: str | None = None
    faces: tuple[Face, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()

    def nearest(self, task_type: str) -> Neighbour | None:
        """The best neighbour that a task led to: of the picture, or of any of its faces."""
        if task_type == "image_embedding":
            return self.neighbours[0] if self.neighbours else None
        if task_type == "face_embedding":
            of_faces = [face.neighbours[0] for face in self.faces if face.neighbours]
            return max(of_faces, key=lambda neighbour: neighbour.score, default=None)
        return None


@dataclass(frozen=True, slots=True)
class ModelUsed:
    """A model that ran; above ``threshold`` two of its vectors are likely the same thing."""

    kind: Kind
    name: str
    summary: str
    licence: str
    threshold: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The whole demo."""

    version: str
    models: tuple[ModelUsed, ...]
    photos: tuple[PhotoResult, ...]
    start_seconds: float
    work_seconds: float
    notices: tuple[str, ...] = ()

    @property
    def jobs(self) -> int:
        """How many jobs there were."""
        return sum(len(photo.jobs) for photo in self.photos)

    @property
    def faces(self) -> int:
        """How many faces were found."""
        return sum(len(photo.faces) for photo in self.photos)

    def failed(self) -> Iterator[tuple[PhotoResult, JobResult]]:
        """The jobs that did not complete."""
        return ((photo, job) for photo in self.photos for job in photo.jobs if job.status != "completed")

    def model(self, kind: Kind) -> ModelUsed | None:
        """The model of a kind."""
        return next((model for model in self.models if model.kind is kind), None)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values, with the sums in front."""
        sums = {"jobs": self.jobs, "failed": len(list(self.failed())), "faces": self.faces}
        return sums | asdict(self)
