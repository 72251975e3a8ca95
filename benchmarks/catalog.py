"""Every benchmark, in the order in which they run."""

from benchmarks.benchmark import Benchmark
from benchmarks.rows.all_tasks import ALL_TASKS
from benchmarks.rows.idle import IDLE
from benchmarks.rows.image_embedding import IMAGE_EMBEDDING
from benchmarks.rows.int8 import INT8_ROW
from benchmarks.rows.large_photos import LARGE_PHOTOS
from benchmarks.rows.memory import MEMORY
from benchmarks.rows.million_pending import MILLION_PENDING
from benchmarks.rows.queue_alone import QUEUE_ALONE
from benchmarks.rows.start import START
from benchmarks.rows.submit import SUBMIT

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        IMAGE_EMBEDDING,
        LARGE_PHOTOS,
        ALL_TASKS,
        SUBMIT,
        QUEUE_ALONE,
        MILLION_PENDING,
        IDLE,
        START,
        MEMORY,
        INT8_ROW,
    )
}
