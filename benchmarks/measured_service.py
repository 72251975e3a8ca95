"""`media-inference up` as a client sees it, with a clock."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.bench import Bench
from benchmarks.http_load import Load, post, send_all
from benchmarks.process_tree import cpu_seconds
from tests.stands.model_files import clip_toml
from tests.stands.running_service import RunningService, running_service

MODEL = "bench-clip"


@dataclass(frozen=True, slots=True)
class Drained:
    """What it took from the moment that all jobs were accepted until the last was completed.

    ``jobs`` counts those that were not completed yet when the clock began. ``cpu_seconds`` is of the whole service, for
    ``all_jobs``, from before the first request.
    """

    jobs: int
    seconds: float
    all_jobs: int
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        """Jobs completed per second."""
        return self.jobs / self.seconds


class MeasuredService:
    """A running service with a photo folder."""

    def __init__(self, running: RunningService) -> None:
        self.running = running
        self.port = urlsplit(running.url).port or 0
        self._last_event = 0

    def submit(self, tasks: Sequence[str], media_ids: Sequence[str]) -> Load:
        """Posts a job for each task on each photo, photo by photo."""
        token = self.running.token
        requests = (
            post(f"/job/{task}", {"media_store_id": media_id}, token) for media_id in media_ids for task in tasks
        )
        return send_all(self.port, requests, status=201)

    def drain(self, tasks: Sequence[str], media_ids: Sequence[str]) -> Drained:
        """Posts the jobs, waits until all are completed. Raises `AssertionError` when one failed."""
        busy = cpu_seconds(self.running.process.pid)
        self.submit(tasks, media_ids)
        accepted = self._now()
        ends = self._ends(len(tasks) * len(media_ids))
        busy = cpu_seconds(self.running.process.pid) - busy
        later = sum(end > accepted for end in ends)
        return Drained(later, (max(ends) - accepted) / 1000, len(ends), busy)

    def _now(self) -> int:
        """The service's own clock as the client reads it: both are on one machine."""
        return int(time.time() * 1000)

    def _ends(self, count: int) -> list[int]:
        """When each of the next jobs was completed, as their events say."""
        ends: list[int] = []
        url = f"{self.running.url}/events?after={self._last_event}&type=completed,failed"
        with self.running.client.stream("GET", url, timeout=600) as answer:
            for line in answer.iter_lines():
                if not line.startswith("data: "):
                    continue
                event = json.loads(line.removeprefix("data: "))
                assert event["type"] == "completed", event
                ends.append(event["at"])
                self._last_event = event["id"]
                if len(ends) == count:
                    break
        return ends


@contextmanager
def measured_service(
    bench: Bench, name: str, settings: Mapping[str, str], *, command: str = "up"
) -> Iterator[MeasuredService]:
    """The service in a folder of its own with these settings, workers ready."""
    folder = bench.new_folder(name)
    if command == "serve":
        first_start(folder)
    with running_service(folder, settings, command=command) as running:
        yield MeasuredService(running)


def first_start(folder: Path) -> None:
    """Leaves a database and keys, which `serve` does not make."""
    with running_service(folder, wait=False, with_token=False):
        pass


def clip_settings(bench: Bench, photos: Path, **more: str) -> dict[str, str]:
    """Settings with the graph of ViT-B/32 for pictures, as a user's own model, and a folder of photos."""
    custom = bench.store / "models" / "custom"
    custom.mkdir(parents=True, exist_ok=True)
    graph = bench.graph()
    link = custom / graph.name
    if not link.exists():
        link.symlink_to(graph)
    (custom / f"{MODEL}.toml").write_text(clip_toml(link, MODEL))
    return {
        "MODELS_DIR": str(bench.store / "models"),
        "IMAGE_MODEL": MODEL,
        "MEDIA_STORE_URL": photos.as_uri(),
        **more,
    }
