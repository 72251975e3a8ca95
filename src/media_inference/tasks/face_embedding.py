"""One vector for every face of a picture."""

from collections.abc import Sequence

import numpy as np

from media_inference.jobs.job import Claim
from media_inference.jobs.outcome import Artifact, Embedding, EmbeddingSet, Findings, Vector
from media_inference.media.reader import Media
from media_inference.models.alignment import align
from media_inference.models.kinds import DIMENSION, FaceEmbedder
from media_inference.tasks.faces import Face, crop_faces, find_faces
from media_inference.tasks.files import crop_file, crop_names, face_vector_name, face_vector_names, vector_file
from media_inference.tasks.task import Task
from media_inference.tasks.toolbox import Toolbox
from media_inference.vectors.point_ids import face_point_id, payload_media_id
from media_inference.vectors.store import FACES

_FACES_AT_ONCE = 32


def embed_faces(claim: Claim, media: Media, toolbox: Toolbox) -> Findings:
    """Detects, aligns and embeds every face; one point in `faces`, one crop and one vector file each."""
    embedder = toolbox.face_embedder
    found = find_faces(media, toolbox.face_detector)
    crops = crop_faces(media, found)
    vectors = _embed(media, found.faces, embedder)
    points = [_point(claim, face, vector, embedder.name) for face, vector in zip(found.faces, vectors, strict=True)]
    files: list[Artifact] = []
    for face, crop, vector in zip(found.faces, crops, vectors, strict=True):
        files += [crop_file(face.index, crop), vector_file(face_vector_name(face.index), vector)]
    return Findings(
        result={
            "faces": [
                face.describe()
                | {"embedding_dimension": DIMENSION, "point_id": point.point_id, "stored_in_vector_db": True}
                for face, point in zip(found.faces, points, strict=True)
            ],
            "face_count": len(found.faces),
            "stored_in_vector_db": True,
            "image": found.describe_image(),
        },
        model=embedder.name,
        embedding_set=EmbeddingSet(FACES, embedder.name, tuple(points)),
        artifacts=tuple(files),
    )


def _embed(media: Media, faces: Sequence[Face], embedder: FaceEmbedder) -> list[Vector]:
    """One vector per face, each aligned from the picture at full resolution."""
    vectors: list[Vector] = []
    for start in range(0, len(faces), _FACES_AT_ONCE):
        picture = media.picture()
        aligned = [align(picture.pixels, face.landmarks) for face in faces[start : start + _FACES_AT_ONCE]]
        vectors += list(np.asarray(embedder.embed(aligned)))
    return vectors


def _point(claim: Claim, face: Face, vector: Vector, model: str) -> Embedding:
    payload = face.describe() | {
        "landmarks": face.describe_landmarks(),
        "job_id": claim.job_id,
        "media_store_id": payload_media_id(claim.media_store_id),
        "task_type": claim.task_type,
        "model": model,
    }
    return Embedding(face_point_id(claim.media_store_id, face.index), vector, payload)


FACE_EMBEDDING = Task(
    "face_embedding",
    "One 512-d vector per face in the picture, searchable.",
    embed_faces,
    makes_vectors=True,
    files=lambda result: {**crop_names(result), **face_vector_names(result)},
)
