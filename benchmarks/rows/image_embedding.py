"""Vectors of small photos: how close the service comes to ONNX Runtime by itself."""

from benchmarks.bench import SMALL, Bench
from benchmarks.benchmark import Bar, Benchmark, Claim, Figure, Outcome
from benchmarks.embedding_sides import ENGINE, OURS, embedding_sides
from benchmarks.turns import in_turns


def measure(bench: Bench) -> Outcome:
    """Photos per second of all sides."""
    with embedding_sides(bench, bench.photos(SMALL, bench.scale.photos), bench.scale.photos) as sides:
        turns = in_turns(sides.rates, bench.scale.turns)
        cpu = {side: sides.cpu_per_photo(side) * 1000 for side in (OURS, ENGINE)}
    others = [side for side in turns.samples if side not in {OURS, ENGINE}]
    return Outcome(
        figures=(
            *turns.figures("photos/s"),
            *(Figure(f"CPU time per photo, {side}", spent, "ms") for side, spent in cpu.items()),
            *(Figure(f"{OURS} ÷ {other}", turns.ratio(OURS, other), "×") for other in others),
        ),
        claims=(
            Claim("of ONNX Runtime's best batch loop on ready tensors", turns.ratio(OURS, ENGINE), Bar("≥", 0.90)),
        ),
        notes=(f"ONNX Runtime is quickest in batches of {sides.batch}.",),
        left_out=tuple(sides.left_out),
    )


IMAGE_EMBEDDING = Benchmark("image_embedding", "image_embedding, 640×480 JPEGs, ViT-B/32 fp32", measure)
