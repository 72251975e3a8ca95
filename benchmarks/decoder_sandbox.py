"""What it costs to decode in a guarded child: ``python -m benchmarks.decoder_sandbox [ROUNDS]``.

The same photo is decoded in turn in this process, by the same function, by a warm child without guards, and by a warm
child; medians are told, and how long a child takes to start. Photos are generated, so that everybody measures the same
ones.
"""

import dataclasses
import gc
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media_inference.media.decoder import Decoder
from media_inference.media.sandbox.decode import decode, load_decoders
from media_inference.media.sandbox.protocol import Limits, Wanted
from tests.stands.hostile_child import hostile_decoder

SIZES = ((320, 240), (1024, 768), (2048, 1536), (4032, 3024))
SHORT_SIDES = (None, 224)
"""In full size, and as small as an image embedder needs it."""
STARTS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """Of one photo, in milliseconds; the last two are medians of what a round's differences are."""

    photo: str
    wanted: str
    in_process: float
    unguarded: float
    guarded: float
    overhead: float
    """Of the guarded child, all in all."""
    guards: float
    """Of the guards alone."""


def main(rounds: int = 15) -> None:
    """Measures, and writes a JSON object to stdout."""
    load_decoders(Limits())
    with tempfile.TemporaryDirectory() as folder, hostile_decoder(Path(folder), keep=()) as unguarded:
        decoder = Decoder()
        try:
            costs = [_cost((unguarded, decoder), size, side, rounds) for size in SIZES for side in SHORT_SIDES]
        finally:
            decoder.close()
    told = {
        "cores": os.cpu_count(),
        "rounds": rounds,
        "photos": [dataclasses.asdict(cost) for cost in costs],
        "start_ms": round(median(_timed(_start_and_stop) for _ in range(STARTS)), 1),
    }
    sys.stdout.write(json.dumps(told, indent=2) + "\n")


def _cost(decoders: tuple[Decoder, Decoder], size: tuple[int, int], short_side: int | None, rounds: int) -> Cost:
    content = _photo(*size)
    ways: list[Callable[[], object]] = [partial(_decode_here, content, short_side)]
    ways += [partial(decoder.decode, content, short_side=short_side) for decoder in decoders]
    for way in ways:
        way()
    taken = np.array([[_timed(way) for way in ways] for _ in range(rounds)])
    here, unguarded, guarded = taken.T
    return Cost(
        f"{size[0]}x{size[1]} JPEG",
        "full size" if short_side is None else f"short side {short_side}",
        *(_middle(each) for each in (here, unguarded, guarded, guarded - here, guarded - unguarded)),
    )


def _middle(times: NDArray[np.float64]) -> float:
    return round(float(np.median(times)), 2)


def _decode_here(content: bytes, short_side: int | None) -> object:
    """To the same array as from a child."""
    image, _ = decode(io.BytesIO(content), Wanted(short_side), Limits())
    return np.asarray(image)


def _start_and_stop() -> None:
    decoder = Decoder()
    decoder.warm()
    decoder.close()


def _timed(run: Callable[[], object]) -> float:
    """Milliseconds."""
    gc.collect()
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1000


def _photo(width: int, height: int) -> bytes:
    """Soft shapes with a camera's grain, which compresses about as a photo does."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (height // 32, width // 32, 3)).astype(np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    grainy = np.clip(smooth + 4 * random.standard_normal(smooth.shape, np.float32), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grainy).save(file, "JPEG", quality=88)
    return file.getvalue()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
