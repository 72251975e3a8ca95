"""What the service takes when nothing is asked of it, and how soon it answers when something is."""

import json
import time
from statistics import median

from benchmarks.bench import SMALL, Bench
from benchmarks.benchmark import Bar, Benchmark, Claim, Figure, Outcome
from benchmarks.child import child
from benchmarks.measured_service import MODEL, MeasuredService, clip_settings, measured_service
from benchmarks.process_tree import cpu_seconds
from benchmarks.turns import in_turns

LOOKS = 10
"""Jobs, one after the other, in one turn."""

OURS, WORK = "POST to completed", "the work alone"


def measure(bench: Bench) -> Outcome:
    """CPU time over some idle seconds; then one job at a time, against decoding and embedding its photo alone."""
    photos = bench.photos(SMALL, LOOKS)
    settings = clip_settings(bench, photos.path)
    arguments = [settings["MODELS_DIR"], bench.cores, MODEL]
    with measured_service(bench, "idle", settings) as service:
        service.drain(["image_embedding"], photos.media_ids)
        idle = in_turns({"idle": lambda: _idle_share(service, bench.scale.idle_seconds)}, 1)
        with child("benchmarks.sides.one_photo", arguments, bench.folder) as work:
            files = [str(file) for file in photos.files()]
            turns = in_turns(
                {
                    OURS: lambda: median(_seconds_of(service, media_id) * 1000 for media_id in photos.media_ids),
                    WORK: lambda: float(work.ask(files=files)["seconds"]) * 1000,
                },
                bench.scale.turns,
            )
    waits = [ours - alone for ours, alone in zip(turns.samples[OURS], turns.samples[WORK], strict=True)]
    return Outcome(
        figures=(Figure("idle, of one core", idle.median("idle"), "%"), *turns.figures("ms")),
        claims=(
            Claim("of one core while idle", idle.median("idle"), Bar("<", 1, "%")),
            Claim("POST to completed, above the work", median(waits), Bar("≤", 50, "ms")),
        ),
        notes=(f"Idle for {bench.scale.idle_seconds:g} s, the whole process tree.",),
    )


def _idle_share(service: MeasuredService, seconds: float) -> float:
    """CPU time of the tree in percent of one core."""
    pid = service.running.process.pid
    time.sleep(1)  # the tail of the last job
    begun, busy = time.perf_counter(), cpu_seconds(pid)
    time.sleep(seconds)  # this is the measurement
    return (cpu_seconds(pid) - busy) / (time.perf_counter() - begun) * 100


def _seconds_of(service: MeasuredService, media_id: str) -> float:
    """From the request to the event that its job is completed, as a client sees it that follows the job."""
    begun = time.perf_counter()
    job_id = service.running.submit("image_embedding", media_id)
    seen = ""
    with service.running.client.stream("GET", f"{service.running.url}/job/{job_id}/events") as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                seen = json.loads(line.removeprefix("data: "))["type"]
                if seen in {"completed", "failed"}:
                    break
    assert seen == "completed", seen
    return time.perf_counter() - begun


IDLE = Benchmark("idle", "idle `up`", measure)
