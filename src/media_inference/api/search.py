"""Nearest neighbours of a point or a vector."""

from collections.abc import Sequence

import numpy as np
from fastapi import APIRouter

from media_inference.api.auth import supporters_only
from media_inference.api.openapi import ends_in
from media_inference.api.problems import Problem, ProblemCode
from media_inference.api.schemas import FaceSearch, ImageSearch, SearchResult, SearchResults
from media_inference.api.services import Services, Serving
from media_inference.jobs.outcome import PointId, Vector
from media_inference.vectors.point_ids import image_point_id
from media_inference.vectors.store import FACES, IMAGE_EMBEDDINGS, Hit

router = APIRouter(
    prefix="/search",
    tags=["search"],
    dependencies=[supporters_only],
    responses=ends_in(ProblemCode.POINT_NOT_FOUND, ProblemCode.VECTOR_STORE_UNAVAILABLE),
)


@router.post(
    f"/{IMAGE_EMBEDDINGS}",
    responses=ends_in(
        ProblemCode.TEXT_NOT_SUPPORTED, ProblemCode.TEXT_TOWER_UNUSABLE, ProblemCode.TEXT_TOWER_UNAVAILABLE
    ),
)
def search_images(wanted: ImageSearch, services: Serving) -> SearchResults:
    """Pictures like this one, or pictures of what a text says. The asking point itself is left out."""
    asking = wanted.point_id if wanted.media_store_id is None else image_point_id(wanted.media_store_id)
    given = wanted.vector if wanted.text is None else services.embed_text(wanted.text)
    return _search(services, IMAGE_EMBEDDINGS, wanted, asking, given)


@router.post(f"/{FACES}")
def search_faces(wanted: FaceSearch, services: Serving) -> SearchResults:
    """Faces like this one. The asking point itself is left out."""
    return _search(services, FACES, wanted, wanted.point_id, wanted.vector)


def _search(
    services: Services,
    collection: str,
    wanted: FaceSearch,
    asking: PointId | None,
    given: Sequence[float] | Vector | None,
) -> SearchResults:
    vector = _stored(services, collection, asking) if given is None else _unit(given)
    hits = services.vectors.search(
        collection, vector, limit=wanted.limit, score_threshold=wanted.score_threshold, without=asking
    )
    model = services.records.models().get(collection, services.models[collection])
    return {"model": model, "results": [_result(hit) for hit in hits]}


def _stored(services: Services, collection: str, point_id: PointId | None) -> Vector:
    points = [] if point_id is None else services.vectors.retrieve(collection, [point_id])
    if not points:
        raise Problem(ProblemCode.POINT_NOT_FOUND)
    return points[0].vector


def _unit(values: Sequence[float] | Vector) -> Vector:
    vector = np.asarray(values, np.float64)
    largest = np.abs(vector).max()
    if largest == 0:
        raise Problem(ProblemCode.INVALID_REQUEST, "`vector` should not be zero.")
    vector = vector / largest  # first, so that no square is too large or too small for a float
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def _result(hit: Hit) -> SearchResult:
    return {"id": hit.id, "score": hit.score, "payload": hit.payload}
