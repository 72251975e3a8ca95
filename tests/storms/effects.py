"""What a job must leave behind, as a run without any fault finds it: no queue, no process, no kill in the way."""

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np

from media_inference.jobs.job import Claim, JsonObject
from media_inference.jobs.outcome import Findings, PointId, Vector
from media_inference.media.decoder import Decoder
from media_inference.media.reader import Media
from media_inference.tasks.catalog import TASKS
from media_inference.vectors.point_ids import face_point_id, image_point_id
from media_inference.vectors.store import FACES, IMAGE_EMBEDDINGS, Point
from tests.stands.model_files import builtin_toolbox
from tests.storms.photos import Photo

_CLOSE = 1e-5


@dataclass(frozen=True, slots=True)
class Effects:
    """``files``: name -> content. ``points``: (collection, id) -> point; a task without vectors has no collection."""

    result: JsonObject
    files: dict[str, bytes]
    collection: str | None
    points: dict[tuple[str, PointId], Point]


def effects(task_type: str, photo: Photo, media_store_id: str, job_id: str) -> Effects:
    """What a job of this task on this photo leaves when nothing goes wrong."""
    found = _findings(task_type, photo)
    files = {artifact.name: artifact.content for artifact in found.artifacts}
    if found.embedding_set is None:
        return Effects(found.result, files, None, {})
    collection = found.embedding_set.collection
    ids = [_point_id(collection, media_store_id, index) for index in range(len(found.embedding_set.embeddings))]
    points = {}
    for point_id, embedding in zip(ids, found.embedding_set.embeddings, strict=True):
        payload = embedding.payload | {"job_id": job_id, "media_store_id": _payload_id(media_store_id)}
        points[collection, point_id] = Point(point_id, embedding.vector, payload)
    return Effects(_with_point_ids(found.result, ids), files, collection, points)


def same_vector(one: Vector, other: Vector) -> bool:
    """Equal but for the last digits, which depend on how many threads added them up."""
    return one.shape == other.shape and bool(np.allclose(one, other, atol=_CLOSE))


def same_file(name: str, one: bytes, other: bytes) -> bool:
    """Equal; vectors but for their last digits."""
    if name.endswith(".bin"):
        return len(one) == len(other) and same_vector(np.frombuffer(one, "<f4"), np.frombuffer(other, "<f4"))
    return hashlib.sha256(one).digest() == hashlib.sha256(other).digest()


@cache
def _findings(task_type: str, photo: Photo) -> Findings:
    decoder = Decoder()
    try:
        claim = Claim("0", task_type, "1", 5, "0", 1, 0)
        return TASKS[task_type].find(claim, Media(photo.content, decoder), builtin_toolbox())
    finally:
        decoder.close()


def _point_id(collection: str, media_store_id: str, index: int) -> PointId:
    assert collection in {IMAGE_EMBEDDINGS, FACES}
    return image_point_id(media_store_id) if collection == IMAGE_EMBEDDINGS else face_point_id(media_store_id, index)


def _payload_id(media_store_id: str) -> int | str:
    return int(media_store_id) if media_store_id.isdecimal() else media_store_id


def _with_point_ids(result: JsonObject, ids: list[PointId]) -> JsonObject:
    """The result as it is for another media item."""
    if "point_id" in result:
        return result | {"point_id": ids[0]}
    faces = [face | {"point_id": point_id} for face, point_id in zip(result["faces"], ids, strict=True)]
    return result | {"faces": faces}
