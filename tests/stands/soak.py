"""Photos of every size through the running service, while its memory is looked at: ``python -m tests.stands.soak``."""

import argparse
import io
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import SHARED
from tests.stands.model_files import place_yunet
from tests.stands.running_service import RunningService, running_service, until

TASKS = ("image_embedding", "face_detection", "face_embedding")
SMALLEST, WIDEST, HIGHEST = 16, 6000, 4000
MOST_GROWTH = 50.0
"""MB that the worker may grow by after a fifth of the photos: by then it has seen every size."""

BATCH = 40
"""Photos that are put into the media store at once, and after which the memory is looked at."""


@dataclass(frozen=True, slots=True)
class Memory:
    """After so many photos: the worker's own memory and its share of that of its decoders, in MB of 10**6 bytes."""

    photos: int
    seconds: float
    worker_rss: float
    worker_peak: float
    decoders_pss: float
    decoders: int


@dataclass(frozen=True, slots=True)
class Soak:
    """What was looked at, and when."""

    seed: int
    models: dict[str, str]
    memory: tuple[Memory, ...]

    def growth(self, start: int, end: int) -> float:
        """MB by which the worker grew between two numbers of photos."""
        at = {memory.photos: memory.worker_rss for memory in self.memory}
        return at[end] - at[start]


def sizes(count: int, seed: int) -> Iterator[tuple[int, int]]:
    """Widths and heights, uniform in their logarithms; each tenth is the smallest, largest, flattest or narrowest."""
    chance = random.Random(seed)  # noqa: S311  # for sizes, not for secrets
    odd = [(SMALLEST, SMALLEST), (WIDEST, HIGHEST), (WIDEST, SMALLEST), (SMALLEST, HIGHEST)]
    for index in range(count):
        by_chance = _between(chance, WIDEST), _between(chance, HIGHEST)
        yield odd[index // 10 % len(odd)] if index % 10 == 9 else by_chance


def _between(chance: random.Random, most: int) -> int:
    return round(math.exp(chance.uniform(math.log(SMALLEST), math.log(most))))


def jpeg(size: tuple[int, int], picture: Image.Image, quality: int = 85) -> bytes:
    """A picture at another size, as a file."""
    file = io.BytesIO()
    picture.resize(size, Image.Resampling.BILINEAR).save(file, "JPEG", quality=quality)
    return file.getvalue()


def motives(shared: Path) -> list[Image.Image]:
    """Real photos, most of them with faces, where there are any; else a picture made of noise."""
    photos = sorted((shared / "photos").glob("*.jpg")) + sorted((shared / "photos").glob("*.png"))
    if photos:
        return [Image.open(path).convert("RGB") for path in photos]
    small = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    return [Image.fromarray(small).resize((512, 512), Image.Resampling.BICUBIC)]


def soak(folder: Path, photos: int, seed: int, *, batch: int = BATCH, yunet: bool = False) -> Soak:
    """Runs all tasks on each photo; every job must be completed. The next batch is made while one is worked through."""
    media = folder / "photos"
    media.mkdir()
    # One job at a time: pictures of several that are there at once would hide a small leak.
    alone = {"JOBS_AT_ONCE": "1", "WORKER_THREADS": "1"}
    settings = {"MEDIA_STORE_URL": media.as_uri(), "MODELS_DIR": str(folder / "models"), **alone}
    if yunet:
        place_yunet(folder / "models", SHARED)
        settings["FACE_DETECTOR"] = "yunet-2023mar"
    wanted, pictures = list(sizes(photos, seed)), motives(SHARED)
    seen: list[Memory] = []
    with ThreadPoolExecutor(1) as producer, running_service(folder, settings) as service:
        begun = time.monotonic()
        batches = [range(start, min(start + batch, photos)) for start in range(0, photos, batch)]
        make = partial(_make, media, wanted, pictures)
        coming = producer.submit(make, batches[0])
        for this, following in zip_longest(batches, batches[1:], fillvalue=range(0)):
            names = coming.result()
            coming = producer.submit(make, following)
            _work_through(service, names)
            for name in names:
                (media / name).unlink()
            seen.append(_look(service, this.stop, time.monotonic() - begun))
        models = service.request("GET", "/health").json()["checks"]["workers"]["models"]
    return Soak(seed, models, tuple(seen))


def _make(media: Path, wanted: Sequence[tuple[int, int]], pictures: Sequence[Image.Image], photos: range) -> list[str]:
    for index in photos:
        (media / f"{index}.jpg").write_bytes(jpeg(wanted[index], pictures[index % len(pictures)]))
    return [f"{index}.jpg" for index in photos]


def _work_through(service: RunningService, names: Sequence[str]) -> None:
    jobs = [service.submit(task, name) for name in names for task in TASKS]
    for job_id in reversed(jobs):  # first in, first out: when the last one is done, so are the others
        job = until(partial(service.job, job_id), lambda job: job["status"] in {"completed", "failed"}, 300)
        assert job["status"] == "completed", job


def _look(service: RunningService, photos: int, seconds: float) -> Memory:
    (worker,) = service.worker_pids()
    status = _numbers(Path(f"/proc/{worker}/status"))
    children = Path(f"/proc/{worker}/task").glob("*/children")
    decoders = [pid for path in children for pid in path.read_text("ascii").split()]
    shares = [_numbers(Path(f"/proc/{pid}/smaps_rollup"))["Pss"] for pid in decoders]
    return Memory(photos, round(seconds, 1), status["VmRSS"], status["VmHWM"], sum(shares), len(shares))


def _numbers(file: Path) -> dict[str, float]:
    """The lines of a file of /proc that give kB, in MB."""
    lines = (line.split() for line in file.read_text("ascii", errors="replace").splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 / 1e6 for words in lines if words[-1:] == ["kB"]}


def report(done: Soak, start: int, end: int) -> str:
    """A table of about ten rows, and the verdict."""
    step = max(1, len(done.memory) // 10)
    rows = [
        f"{seen.photos:6} {seen.seconds:8.0f} {seen.worker_rss:11.1f} {seen.worker_peak:6.1f} {seen.decoders_pss:13.1f}"
        for seen in done.memory[step - 1 :: step]
    ]
    verdict = f"from photo {start} to photo {end} the worker grew by {done.growth(start, end):+.1f} MB"
    return "\n".join(["photos  seconds  worker RSS   peak  decoders PSS (MB)", *rows, verdict])


def main() -> None:
    """Prints the table, writes all numbers as JSON; exit code 1 when the worker grew too much."""
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--photos", type=int, default=2000, help=f"a multiple of {5 * BATCH}")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--out", type=Path, default=Path(".make/soak.json"))
    parser.add_argument("--yunet", action="store_true", help="with yunet-2023mar of ../shared in place of mtcnn")
    asked = parser.parse_args()
    print(f"{asked.photos} photos, seed {asked.seed}", flush=True)  # noqa: T201  # so that a run can be repeated
    with tempfile.TemporaryDirectory() as folder:
        done = soak(Path(folder), asked.photos, asked.seed, yunet=asked.yunet)
    start = asked.photos // 5
    print(report(done, start, asked.photos))  # noqa: T201  # the result
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(asdict(done), indent=1) + "\n")
    sys.exit(done.growth(start, asked.photos) >= MOST_GROWTH)


if __name__ == "__main__":
    main()
