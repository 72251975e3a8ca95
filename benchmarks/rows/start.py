"""How soon a started service takes jobs, how soon its workers work, and what that takes."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.bench import SMALL, Bench
from benchmarks.benchmark import Bar, Benchmark, Claim, Outcome
from benchmarks.measured_service import clip_settings
from benchmarks.process_tree import cpu_seconds
from benchmarks.turns import Turns, in_turns
from tests.stands.running_service import make_token, running_service, service_environment, until

BUILT_IN, CLIP = "built-in models", "ViT-B/32 from disk"


class _Start(NamedTuple):
    """Seconds since the process began, but the last: CPU time of all processes until the first job was completed."""

    ready: float
    at_work: float
    first_job: float
    cpu: float


def measure(bench: Bench) -> Outcome:
    """Seconds from the start of the process, on a database that is there and with what the first start left."""
    photos = bench.photos(SMALL, 1)
    settings = {BUILT_IN: {"MODELS_DIR": str(bench.store / "models"), "MEDIA_STORE_URL": photos.path.as_uri()}}
    settings[CLIP] = clip_settings(bench, photos.path)
    folders = {name: bench.new_folder(f"start-{number}") for number, name in enumerate(settings)}
    for name, folder in folders.items():
        with running_service(folder, settings[name], with_token=False):
            pass
    tokens = {name: make_token(folder, service_environment(folder / "data")) for name, folder in folders.items()}
    starts: dict[str, list[_Start]] = {name: [] for name in settings}

    def start(name: str) -> float:
        starts[name].append(_start(folders[name], settings[name], tokens[name], photos.media_ids[0]))
        return starts[name][-1].ready

    ready = in_turns({name: lambda name=name: start(name) for name in settings}, bench.scale.turns)  # type: ignore[misc]
    later = Turns(
        {f"{name}, workers at work": tuple(one.at_work for one in taken) for name, taken in starts.items()}
        | {f"{name}, first job completed": tuple(one.first_job for one in taken) for name, taken in starts.items()}
        | {f"{name}, CPU time until then": tuple(one.cpu for one in taken) for name, taken in starts.items()}
    )
    return Outcome(
        figures=(*ready.figures("s"), *later.figures("s")),
        claims=(
            Claim("to /readyz with the built-in models", ready.median(BUILT_IN), Bar("<", 3, "s")),
            Claim("to /readyz with a CLIP graph that was loaded before", ready.median(CLIP), Bar("<", 6, "s")),
        ),
        notes=("Later starts: the first one of each made the database, and the disk's cache has the model's file.",),
    )


def _start(folder: Path, settings: Mapping[str, str], token: str, media_id: str) -> _Start:
    """The job is posted as soon as `/readyz` says so; workers are at work when `/health` does."""
    begun = time.perf_counter()
    with running_service(folder, settings, wait=False, with_token=False) as service:
        until(lambda: service.request("GET", "/readyz").status_code, lambda status: status == 200)
        ready = time.perf_counter() - begun
        service.client.headers["Authorization"] = f"Bearer {token}"
        job = service.submit("image_embedding", media_id)
        service.wait_until_workers_are_ready()
        at_work = time.perf_counter() - begun
        assert service.finished(job)["status"] == "completed"
        first_job = time.perf_counter() - begun
        return _Start(ready, at_work, first_job, cpu_seconds(service.process.pid))


START = Benchmark("start", "start of `up`", measure)
