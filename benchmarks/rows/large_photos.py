"""Vectors of 12-megapixel photos: how close the service comes to what the CPU time of the work allows."""

from benchmarks.bench import LARGE, Bench
from benchmarks.benchmark import Bar, Benchmark, Claim, Figure, Outcome
from benchmarks.child import child
from benchmarks.embedding_peers import INFINITY
from benchmarks.embedding_sides import ENGINE, OURS, embedding_sides
from benchmarks.turns import in_turns

LIMIT = "cores ÷ CPU time of the work"


def measure(bench: Bench) -> Outcome:
    """Photos per second of all sides, and what two measured CPU times allow."""
    photos = bench.photos(LARGE, bench.scale.large_photos)
    paths = [str(path) for path in photos.first(photos.different).files()]
    with (
        embedding_sides(bench, photos, max(1, bench.scale.large_photos // 4)) as sides,
        child("benchmarks.sides.photo_work", [], bench.folder) as work,
    ):
        decodes: list[float] = []

        def limit() -> float:
            sides.rates[ENGINE]()
            decodes.append(float(work.ask(files=paths, seconds=bench.scale.seconds / 3)["cpu_seconds"]))
            return bench.cores / (decodes[-1] + sides.cpu[ENGINE][-1])

        rates = {LIMIT if side == ENGINE else side: rate for side, rate in sides.rates.items()} | {LIMIT: limit}
        turns = in_turns(rates, bench.scale.turns)
        work_ms = {"scaled decode": sum(decodes) / len(decodes), "inference": sides.cpu_per_photo(ENGINE)}
        work_ms[OURS] = sides.cpu_per_photo(OURS)
    others = [side for side in turns.samples if side not in {OURS, LIMIT}]
    claims = [Claim("of cores ÷ (scaled decode + inference, CPU time)", turns.ratio(OURS, LIMIT), Bar("≥", 0.85))]
    if INFINITY in others:
        claims.append(Claim("times infinity-emb", turns.ratio(OURS, INFINITY), Bar("≥", 4, "×")))
    return Outcome(
        figures=(
            *turns.figures("photos/s"),
            *(Figure(f"CPU time per photo, {part}", spent * 1000, "ms") for part, spent in work_ms.items()),
            *(Figure(f"{OURS} ÷ {other}", turns.ratio(OURS, other), "×") for other in others),
        ),
        claims=tuple(claims),
        left_out=tuple(sides.left_out),
    )


LARGE_PHOTOS = Benchmark("large_photos", "image_embedding, 12-megapixel JPEGs, ViT-B/32 fp32", measure)
