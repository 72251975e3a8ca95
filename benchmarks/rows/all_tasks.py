"""All three tasks on each photo: what the whole service spends, against the work done once."""

from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.benchmark import Bar, Benchmark, Claim, Figure, Outcome
from benchmarks.child import child
from benchmarks.measured_service import MODEL, clip_settings, measured_service
from benchmarks.turns import in_turns
from media_inference.models.gabor import GABOR_FACE_512
from media_inference.models.mtcnn import MTCNN
from media_inference.models.yunet import YUNET_2023MAR
from tests.conftest import SHARED
from tests.stands.model_files import place_yunet

TASKS = ("image_embedding", "face_detection", "face_embedding")
SIZE = (1600, 1200)
OURS, WORK = "media-inference up", "one decode + one detection + the vectors"


def measure(bench: Bench) -> Outcome:
    """CPU time per photo, of the process tree and of the work alone."""
    photos = bench.photos(SIZE, bench.scale.photos // 2)
    settings = clip_settings(bench, photos.path, FACE_DETECTOR=_detector(bench), FACE_MODEL=GABOR_FACE_512.name)
    names = [MODEL, settings["FACE_DETECTOR"], settings["FACE_MODEL"]]
    parts: list[dict[str, float]] = []
    rates: list[float] = []
    with (
        measured_service(bench, "all-tasks", settings) as service,
        child("benchmarks.sides.three_tasks_work", [settings["MODELS_DIR"], bench.cores, *names], bench.folder) as work,
    ):

        def ours() -> float:
            drained = service.drain(TASKS, photos.media_ids)
            rates.append(drained.per_second)
            return drained.cpu_seconds / len(photos.media_ids) * 1000

        def needed() -> float:
            parts.append(work.ask(files=[str(file) for file in photos.files()]))
            return sum(parts[-1].values()) * 1000

        ours()
        turns = in_turns({OURS: ours, WORK: needed}, bench.scale.turns)
    means = {part: sum(turn[part] for turn in parts) / len(parts) * 1000 for part in parts[0]}
    return Outcome(
        figures=(
            *turns.figures("ms CPU per photo"),
            *(Figure(f"of it {part}", spent, "ms CPU per photo") for part, spent in means.items()),
            Figure(f"{OURS}, jobs completed", sum(rates) / len(rates), "jobs/s"),
        ),
        claims=(
            Claim(
                "× the CPU time of one decode + one detection + the vectors", turns.ratio(OURS, WORK), Bar("≤", 1.15)
            ),
        ),
        notes=(f"Photos of {SIZE[0]}×{SIZE[1]}; models: {', '.join(names)}.",),
    )


def _detector(bench: Bench) -> str:
    """The default detector where its file is at hand, else the built-in one."""
    models = bench.store / "models"
    file = models / YUNET_2023MAR.name
    if not file.exists() and (SHARED / "models").is_dir():
        place_yunet(models, Path(SHARED))
    return YUNET_2023MAR.name if file.exists() else MTCNN.name


ALL_TASKS = Benchmark("all_tasks", "all three tasks on each photo", measure)
