"""The work between a JPEG and the network's input, with Pillow alone, for its CPU time."""

import time
from collections.abc import Mapping

import numpy as np
from PIL import Image

from benchmarks.child import answer_questions
from tests.stands.clip_reference import clip_tensor

LEAST = 448
"""Shorter side that a smaller decode must leave: twice that of the network's input."""


def prepare(files: list[str], seconds: float) -> Mapping[str, float]:
    """CPU seconds per photo for the smallest decode that is large enough, resize, crop and tensor."""
    done, begun, busy = 0, time.perf_counter(), time.process_time()
    while done == 0 or time.perf_counter() - begun < seconds:
        for file in files:
            with Image.open(file) as image:
                scale = max(scale for scale in (1, 2, 4, 8) if scale == 1 or min(image.size) // scale >= LEAST)
                image.draft("RGB", (image.width // scale, image.height // scale))
                clip_tensor(np.asarray(image.convert("RGB")))
        done += len(files)
    return {"cpu_seconds": (time.process_time() - busy) / done}


if __name__ == "__main__":
    answer_questions(prepare)
