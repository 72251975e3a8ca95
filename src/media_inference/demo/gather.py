"""Finished jobs to all that the report shows: faces, crops, pictures, neighbours."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from media_inference.demo.annotate import PICTURE_SIDE, save_pictures
from media_inference.demo.api_client import ApiClient, Json, Refused
from media_inference.demo.jobs import Errand
from media_inference.demo.photos import Photo
from media_inference.demo.result import Face, Neighbour, PhotoResult
from media_inference.errors import JobError
from media_inference.media.decoder import Decoder
from media_inference.media.picture import Picture
from media_inference.tasks.faces import LANDMARKS

NEIGHBOURS = 3

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Asks the service for what it knows of each photo, and writes pictures below ``out``."""

    client: ApiClient
    decoder: Decoder
    out: Path

    def gather(self, errands: Sequence[Errand]) -> tuple[PhotoResult, ...]:
        """One result per errand, in their order."""
        for folder in ("pictures", "thumbnails", "faces"):
            (self.out / folder).mkdir(parents=True, exist_ok=True)
        photos = [self._photo(number, errand) for number, errand in enumerate(errands, 1)]
        by_id = {photo.media_store_id: photo for photo in photos}
        return tuple(self._with_neighbours(photo, errand, by_id) for photo, errand in zip(photos, errands, strict=True))

    def _photo(self, number: int, errand: Errand) -> PhotoResult:
        result = PhotoResult(errand.photo.name, errand.describe(), errand.media_store_id, faces=_faces(errand))
        picture = self._decode(errand.photo) if errand.media_store_id else None
        if picture is None:
            return result
        name = f"{number:02d}-{_slug(errand.photo.name)}.jpg"
        annotated, thumbnail = f"pictures/{name}", f"thumbnails/{name}"
        save_pictures(picture, result.faces, self.out / annotated, self.out / thumbnail)
        return replace(
            result,
            width=picture.full_width,
            height=picture.full_height,
            picture=annotated,
            thumbnail=thumbnail,
            faces=tuple(self._with_crop(number, face, errand) for face in result.faces),
        )

    def _decode(self, photo: Photo) -> Picture | None:
        try:
            return self.decoder.decode(photo.path.read_bytes(), long_side=PICTURE_SIDE)
        except (JobError, OSError):
            return None  # its jobs failed for the same reason, and say so

    def _with_crop(self, number: int, face: Face, errand: Errand) -> Face:
        job = errand.completed("face_detection") or errand.completed("face_embedding")
        crop = job and _if_there(lambda: self.client.crop(job["job_id"], face.index))
        if not crop:
            return face
        link = f"faces/{number:02d}-{face.index}.jpg"
        (self.out / link).write_bytes(crop)
        return replace(face, crop=link)

    def _with_neighbours(self, photo: PhotoResult, errand: Errand, by_id: dict[str | None, PhotoResult]) -> PhotoResult:
        near: list[Json] | None = None
        if photo.media_store_id is not None and errand.completed("image_embedding"):
            media_store_id = photo.media_store_id
            near = _if_there(lambda: self.client.similar_pictures(media_store_id, NEIGHBOURS))
        points = _points(errand)
        faces = tuple(
            replace(face, neighbours=self._near_face(points[face.index], by_id)) if face.index in points else face
            for face in photo.faces
        )
        return replace(photo, faces=faces, neighbours=tuple(_neighbour(hit, by_id) for hit in near or []))

    def _near_face(self, point_id: int | str, by_id: dict[str | None, PhotoResult]) -> tuple[Neighbour, ...]:
        near = _if_there(lambda: self.client.similar_faces(point_id, NEIGHBOURS))
        return tuple(_neighbour(hit, by_id) for hit in near or [])


def _if_there(ask: Callable[[], Answer]) -> Answer | None:
    try:
        return ask()
    except Refused:
        return None


def _faces(errand: Errand) -> tuple[Face, ...]:
    job = errand.completed("face_detection") or errand.completed("face_embedding")
    return tuple(_face(described) for described in job["result"]["faces"]) if job else ()


def _face(described: Json) -> Face:
    box, landmarks = described["bbox"], described.get("landmarks", {})
    return Face(
        index=described["face_index"],
        box=(box["x"], box["y"], box["width"], box["height"]),
        landmarks=tuple((landmarks[name][0], landmarks[name][1]) for name in LANDMARKS if name in landmarks),
        confidence=described["confidence"],
    )


def _points(errand: Errand) -> dict[int, int | str]:
    job = errand.completed("face_embedding")
    return {face["face_index"]: face["point_id"] for face in job["result"]["faces"]} if job else {}


def _neighbour(hit: Json, by_id: dict[str | None, PhotoResult]) -> Neighbour:
    payload = hit["payload"]
    photo = by_id.get(str(payload["media_store_id"]))
    index = payload.get("face_index")
    if photo is None:
        return Neighbour(f"media {payload['media_store_id']}", hit["score"], None, index)
    crop = next((face.crop for face in photo.faces if face.index == index), None)
    return Neighbour(photo.name, hit["score"], photo.thumbnail if index is None else crop, index)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", Path(name).stem.lower()).strip("-")[:60] or "photo"
