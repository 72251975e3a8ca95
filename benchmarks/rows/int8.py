"""What int8 costs and saves: the same pictures by a model and by its quantised copy."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks.bench import Bench
from benchmarks.benchmark import Benchmark, Figure, Outcome
from benchmarks.child import SideFailed
from benchmarks.look_alikes import look_alikes
from benchmarks.turns import in_turns
from media_inference.demo.samples import sample_photos
from media_inference.models.clip import CLIP_VIT_B_32, CLIP_VIT_B_32_INT8
from media_inference.models.kinds import ImageEmbedder, Pixels, Vectors
from media_inference.models.model import BuiltFile, Model
from media_inference.runtime.load import load_network
from media_inference.runtime.weights import on_disk

FULL, INT8 = CLIP_VIT_B_32.name, CLIP_VIT_B_32_INT8.name
NEIGHBOURS = 10
LOOK_ALIKES = 4
"""At least so many pictures of each photo, itself included."""
MODELS_DIR = "~/.cache/media-inference/models"
REAL, STAND_IN = "the models themselves", "random weights of their shape: a trained network loses something else"
PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def measure(bench: Bench) -> Outcome:
    """The vectors of all pictures, then CPU time in turns on one thread.

    ``MODELS_DIR``: where both models may lie; without them a stand-in is measured. ``FOLDER``: photos to measure on.
    """
    count = max(bench.scale.photos, 2 * NEIGHBOURS)
    photos = _photos(os.environ.get("FOLDER"), count // LOOK_ALIKES)
    pictures = look_alikes(photos, count)
    models_dir = Path(os.environ.get("MODELS_DIR") or MODELS_DIR).expanduser()
    pair = CLIP_VIT_B_32, CLIP_VIT_B_32_INT8
    real = all(on_disk(model, models_dir) for model in pair)
    models = pair if real else _stand_in(bench)
    networks = {model.name: cast("ImageEmbedder", load_network(model, models_dir, 1).network) for model in models}
    vectors = {name: network.embed(pictures) for name, network in networks.items()}
    few = pictures[:NEIGHBOURS]
    cpu = in_turns(
        {name: lambda one=network: _cpu(one, few) for name, network in networks.items()},  # type: ignore[misc]
        bench.scale.turns,
    )
    return Outcome(
        figures=(
            *_loss(vectors[FULL], vectors[INT8]),
            *(replace(figure, name=f"CPU time, {figure.name}") for figure in cpu.figures("ms/photo")),
            Figure("CPU time, int8 to full", cpu.ratio(INT8, FULL), "×"),
        ),
        notes=(f"{len(pictures)} pictures made of {len(photos)} photos, with {REAL if real else STAND_IN}.",),
    )


def _photos(folder: str | None, most: int) -> list[Path]:
    """All of the folder, or ``most`` of them from everywhere in it."""
    if not folder:
        return [photo.path for photo in sample_photos().photos]
    photos = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in PICTURES)
    if not photos:
        raise SideFailed(f"FOLDER={folder} has no photos ({', '.join(PICTURES)})")
    return photos[:: -(-len(photos) // most)]


def _stand_in(bench: Bench) -> tuple[Model, Model]:
    """The graph of all benchmarks, and what ONNX Runtime's dynamic quantisation makes of it, as the hub's was made."""
    graph = bench.graph()
    quantised = graph.with_suffix(".int8.onnx")
    if not quantised.exists():
        part = quantised.with_suffix(".part")
        quantize_dynamic(graph, part, weight_type=QuantType.QUInt8)
        part.rename(quantised)
    return (
        replace(CLIP_VIT_B_32, files=(BuiltFile("model.onnx", graph.read_bytes),)),
        replace(CLIP_VIT_B_32_INT8, files=(BuiltFile("model.onnx", quantised.read_bytes),)),
    )


def _loss(full: Vectors, int8: Vectors) -> tuple[Figure, ...]:
    likeness = (full * int8).sum(axis=1)
    return (
        Figure("cosine of both vectors of a picture, median", float(np.median(likeness)), ""),
        Figure("cosine of both vectors of a picture, worst", float(likeness.min()), ""),
        Figure("change of the cosine of two pictures, median", float(np.median(_changes(full, int8))), ""),
        Figure(f"of the {NEIGHBOURS} nearest pictures, the same ones", recall(full, int8), "share"),
    )


def _changes(full: Vectors, int8: Vectors) -> Vectors:
    pairs = np.triu_indices(len(full), 1)
    return cast("Vectors", np.abs(full @ full.T - int8 @ int8.T)[pairs])


def recall(full: Vectors, int8: Vectors, rows: int | None = None) -> float:
    """Which share of the nearest neighbours of the first ``rows`` pictures, of all without, are the same by both."""
    expected, found = (_nearest(vectors)[:rows] for vectors in (full, int8))
    same = sum(len(set(one) & set(other)) for one, other in zip(expected, found, strict=True))
    return same / (len(expected) * NEIGHBOURS)


def _nearest(vectors: Vectors) -> list[list[int]]:
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -np.inf)
    return [list(row) for row in np.argsort(-likeness, axis=1)[:, :NEIGHBOURS]]


def _cpu(network: ImageEmbedder, pictures: Sequence[Pixels]) -> float:
    begun = time.process_time()
    network.embed(pictures)
    return 1000 * (time.process_time() - begun) / len(pictures)


INT8_ROW = Benchmark("int8", "the quantised model", measure)
