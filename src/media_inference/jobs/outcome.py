"""What an attempt at a job found, as plain values on their way to the database."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media_inference.jobs.job import JsonObject

Vector = NDArray[np.float32]
"""[512] float32, unit length."""

PointId = int | str
"""Id of a point in a vector collection: an unsigned integer or a UUID in its text form."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """One vector and where it goes. ``payload`` is what a search answers beside the id and the score."""

    point_id: PointId
    vector: Vector
    payload: JsonObject


@dataclass(frozen=True, slots=True)
class EmbeddingSet:
    """All vectors of one media item in one collection; an empty set removes those of an earlier outcome."""

    collection: str
    model: str
    embeddings: tuple[Embedding, ...]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a job's result; ``name`` is relative to the job's folder (``faces/0.jpg``)."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a task found in one picture. ``model``: the catalogue's name of the network that made the result."""

    result: JsonObject
    embedding_set: EmbeddingSet | None = None
    artifacts: tuple[Artifact, ...] = ()
    model: str | None = None
