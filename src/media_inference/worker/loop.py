"""Claims jobs one after the other until it is told to stop."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from media_inference.errors import DatabaseUnavailable, Dependency
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.outages import OutageRecords
from media_inference.queue.wake import Wake, wait_for
from media_inference.worker.breakers import Breakers
from media_inference.worker.lease import LeaseKeeper
from media_inference.worker.run_job import JobRunner

log = structlog.get_logger()


@dataclass(slots=True)
class WorkerLoop:
    """One worker's day.

    ``work`` and ``stop`` wake it while it waits; ``on_outcome`` is called after every attempt, to wake the publisher.
    """

    worker_id: str
    queue: JobQueue
    runner: JobRunner
    keeper: LeaseKeeper
    breakers: Breakers
    outages: OutageRecords
    work: Wake
    stop: Wake
    poll_interval: float
    on_outcome: Callable[[], None]
    told_to_stop: threading.Event

    def run(self) -> None:
        """Works until it is told to stop, or nobody is left who could ring for work; finishes the running job."""
        somebody_rings, holds_nothing = True, True
        while somebody_rings and not self.told_to_stop.is_set():
            try:
                if not holds_nothing:
                    self._put_back()
                holds_nothing = True
                worked = self._work_once()
            except DatabaseUnavailable as error:
                log.warning("worker.database_error", action="claim", worker_id=self.worker_id, error=str(error))
                worked = holds_nothing = False
            somebody_rings = wait_for(self.work, self.stop, timeout=0 if worked else self._pause())

    def _pause(self) -> float:
        """Seconds to wait for a ring: until the next poll, or the next probe of a breaker."""
        return min(self.poll_interval, self.breakers.wait() or self.poll_interval)

    def _blocked(self) -> list[str]:
        """Task types whose vectors could not be stored now: their jobs wait as pending."""
        if not any(outage.dependency == Dependency.VECTOR_STORE for outage in self.outages.current()):
            return []
        return [task.type for task in self.runner.tasks.values() if task.makes_vectors]

    def _put_back(self) -> None:
        """Gives back what was claimed when the database went away: it could not be settled, by no fault of its own."""
        for job_id in self.queue.release_worker(self.worker_id):
            log.warning("job.released", action="release_worker", job_id=job_id, worker_id=self.worker_id)

    def _work_once(self) -> bool:
        if not self.breakers.closed():
            return False
        claim = self.queue.claim(self.worker_id, without=self._blocked())
        if claim is None:
            return False
        begun = time.perf_counter()
        with self.keeper.holding(claim):
            ending = self.runner.run(claim)
        self.breakers.worked()
        self.on_outcome()
        log.info(
            "job.done",
            action=ending.value,
            job_id=claim.job_id,
            task_type=claim.task_type,
            media_store_id=claim.media_store_id,
            attempt=claim.attempt,
            ms=round((time.perf_counter() - begun) * 1000, 1),
        )
        return True
