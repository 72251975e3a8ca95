"""The queue of this project by itself, in a process of its own."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.child import answer_questions
from media_inference.jobs.event import EventType
from media_inference.jobs.job import Claim, Job, JobStatus
from media_inference.jobs.job_id import new_job_id
from media_inference.jobs.outcome import Findings
from media_inference.queue.changes import Settlement
from media_inference.queue.clock import wall_clock
from media_inference.queue.engine import open_engine, writing
from media_inference.queue.events import add_events
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.migrate import migrate
from media_inference.queue.tables import jobs, queue
from media_inference.queue.turns import Wish

WORKER = "bench"
FOUND = Findings({"faces": [], "face_count": 0, "image": {"width": 640, "height": 480}}, model="yunet-2023mar")
_CHUNK = 10_000
_COLUMNS = ("job_id", "task_type", "media_store_id", "status", "priority", "created_at")

Numbers = Mapping[str, float]


class OwnQueue:
    """A database at a path."""

    def __init__(self, path: Path) -> None:
        self._engine = open_engine(f"sqlite:///{path}")
        migrate(self._engine)
        self._queue = JobQueue(self._engine)

    def fill(self, count: int) -> Numbers:
        """Adds pending jobs, many in one transaction: it is what follows that is measured."""
        for start in range(0, count, _CHUNK):
            self._add([_job(number) for number in range(start, min(start + _CHUNK, count))])
        with self._engine.connect() as connection:
            # Not TRUNCATE: a log that has to grow again syncs more slowly than that of a service that has run a while.
            connection.exec_driver_sql("PRAGMA wal_checkpoint(RESTART)")
        return {"added": count}

    def work(self, at_once: int) -> Numbers:
        """Claims and settles all that is there; jobs per second."""
        done, begun, wish = 0, time.perf_counter(), Wish(most=at_once)
        claims = self._queue.claim_some(WORKER, wish)
        while claims:
            done += len(claims)
            endings, claims = self._queue.settle_and_claim([_outcome(claim) for claim in claims], WORKER, wish)
            assert all(ending is True for ending in endings), endings
        return {"per_second": done / (time.perf_counter() - begun)}

    def claim(self, count: int) -> Numbers:
        """Claims jobs one by one and puts them back; milliseconds of a claim."""
        taken = []
        for _ in range(count):
            begun = time.perf_counter()
            claim = self._queue.claim(WORKER)
            taken.append((time.perf_counter() - begun) * 1000)
            assert claim
        self._queue.release_worker(WORKER)
        return {"median": median(taken), "p99": quantiles(taken, n=100)[98]}

    def _add(self, new: Sequence[Job]) -> None:
        rows = [{column: getattr(job, column) for column in _COLUMNS} for job in new]
        with writing(self._engine) as tx:
            tx.execute(jobs.insert(), rows)
            tx.execute(
                queue.insert(),
                [{"job_id": job.job_id, "priority": job.priority, "task_type": job.task_type} for job in new],
            )
            add_events(tx, EventType.QUEUED, new, wall_clock())


def _outcome(claim: Claim) -> Settlement:
    return Settlement(claim, FOUND, lambda: None)


def _job(number: int) -> Job:
    return Job(new_job_id(), "face_detection", str(number), JobStatus.PENDING, number % 11, wall_clock())


def main() -> None:
    """Answers ``do``: the name of a method, with what it takes."""
    own = OwnQueue(Path(sys.argv[1]))
    methods: dict[str, Callable[..., Numbers]] = {"fill": own.fill, "work": own.work, "claim": own.claim}

    def answer(do: str, **how: Any) -> Numbers:
        return methods[do](**how)

    answer_questions(answer)


if __name__ == "__main__":
    main()
