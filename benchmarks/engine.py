"""ONNX Runtime without anything around it: what all sides are held against, in speed and in what they answer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.bench import Bench
from benchmarks.child import Child, SideFailed, child
from tests.stands.clip_reference import clip_tensor
from tests.stands.pictures import picture

BATCHES = (1, 2, 4, 8, 16)
SAME = 0.999
ROUNDS = 3


@contextmanager
def engine_loop(bench: Bench) -> Iterator[Child]:
    """A process that runs the graph on ready tensors, with a thread per core (`sides.engine_loop`)."""
    with child("benchmarks.sides.engine_loop", [bench.graph(), bench.cores], bench.folder) as loop:
        yield loop


def best_batch(loop: Child, seconds: float) -> int:
    """The size of batch with the most pictures per second in the best of some rounds."""
    rates = dict.fromkeys(BATCHES, 0.0)
    for _ in range(ROUNDS):
        for batch in BATCHES:
            rates[batch] = max(rates[batch], float(loop.ask(batch=batch, seconds=seconds)["per_second"]))
    return max(BATCHES, key=rates.__getitem__)


def refuse_other_vector(vector: Sequence[float], graph: Path, photo: Path) -> None:
    """Raises `SideFailed` when a side does not answer a photo as the graph does: then it does other work."""
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    (expected,) = np.asarray(session.run(["image_embeds"], {"pixel_values": clip_tensor(picture(photo))})[0])
    given = np.asarray(vector, np.float32)
    cosine = float(given @ expected / (np.linalg.norm(given) * np.linalg.norm(expected)))
    if cosine < SAME:
        raise SideFailed(f"its vector is another one: cosine {cosine:.4f}")
