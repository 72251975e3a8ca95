"""Where the faces of a picture are."""

from media_inference.jobs.job import Claim
from media_inference.jobs.outcome import Findings
from media_inference.media.reader import Media
from media_inference.tasks.faces import crop_faces, find_faces
from media_inference.tasks.files import crop_file, crop_names
from media_inference.tasks.task import Task
from media_inference.tasks.toolbox import Toolbox


def detect_faces(_claim: Claim, media: Media, toolbox: Toolbox) -> Findings:
    """Boxes, landmarks and confidences in the result, one crop per face; no vectors."""
    found = find_faces(media, toolbox.face_detector)
    crops = crop_faces(media, found)
    return Findings(
        result={
            "faces": [face.describe() | {"landmarks": face.describe_landmarks()} for face in found.faces],
            "face_count": len(found.faces),
            "image": found.describe_image(),
        },
        model=toolbox.face_detector.name,
        artifacts=tuple(crop_file(face.index, crop) for face, crop in zip(found.faces, crops, strict=True)),
    )


FACE_DETECTION = Task(
    "face_detection",
    "Boxes, five landmarks and crops of the faces in the picture.",
    detect_faces,
    makes_vectors=False,
    files=crop_names,
)
