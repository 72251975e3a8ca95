"""Claims jobs and keeps the lanes full of them until it is told to stop."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from media_inference.errors import DatabaseUnavailable, Dependency
from media_inference.jobs.job import HIGHEST_PRIORITY, LOWEST_PRIORITY, Claim
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.turns import Wish
from media_inference.queue.wake import Wake, wait_for
from media_inference.worker.breakers import Breakers
from media_inference.worker.lanes import Lanes
from media_inference.worker.lease import LeaseKeeper
from media_inference.worker.next_jobs import NextJobs
from media_inference.worker.run_job import JobRunner

log = structlog.get_logger()

URGENT_LANES = 1
"""Lanes that only jobs of the highest priority may take, so that they never wait for a place."""


@dataclass(slots=True)
class WorkerLoop:
    """One worker's day.

    ``work`` and ``stop`` wake it while it waits; ``on_outcome`` is called after every attempt, to wake the publisher.
    ``jobs_at_once`` are under way at most, and one more of the highest priority.
    """

    worker_id: str
    queue: JobQueue
    runner: JobRunner
    next_jobs: NextJobs
    keeper: LeaseKeeper
    breakers: Breakers
    work: Wake
    stop: Wake
    poll_interval: float
    on_outcome: Callable[[], None]
    told_to_stop: threading.Event
    jobs_at_once: int = 1
    lanes: Lanes = field(init=False)
    _unsettled: threading.Event = field(init=False, default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.lanes = Lanes(self.jobs_at_once + URGENT_LANES, self._attempt)
        self.next_jobs.wish, self.next_jobs.hold = self._wish_after, self.keeper.hold

    def run(self) -> None:
        """Works until it is told to stop, or nobody is left who could ring for work; finishes the running jobs."""
        somebody_rings = True
        try:
            with self.lanes:
                while somebody_rings and not self.told_to_stop.is_set():
                    self.lanes.check()
                    claimed = self._fill_lanes()
                    somebody_rings = wait_for(
                        self.work, self.stop, self.lanes.freed, timeout=0 if claimed else self._pause()
                    )
        finally:
            self._release_next()

    def _pause(self) -> float:
        """Seconds to wait for a ring: until the next poll, or the next probe of a breaker."""
        return min(self.poll_interval, self.breakers.wait() or self.poll_interval)

    def _fill_lanes(self) -> bool:
        """Starts what can be started now; returns whether it was anything."""
        try:
            if self._unsettled.is_set() and not self._put_back():
                return False
            started = self.next_jobs.start_some(self.lanes.free, self.lanes.start)
            claims = self._claim()
        except DatabaseUnavailable as error:
            log.warning("worker.database_error", action="claim", worker_id=self.worker_id, error=str(error))
            self._unsettled.set()  # the claim may have been made
            return False
        for claim in claims:
            self.keeper.hold(claim)
            self.lanes.start(claim)
        started += len(claims)
        if not started and not self.lanes.busy:
            self.runner.media.forget()
        return bool(started)

    def _release_next(self) -> None:
        """Gives back what was claimed when the last lanes ended, for it will not be started."""
        try:
            for claim in self._drop_next():
                self.queue.release(claim)
        except DatabaseUnavailable as error:  # the supervisor takes it back
            log.warning("worker.database_error", action="release", worker_id=self.worker_id, error=str(error))

    def _drop_next(self) -> list[Claim]:
        """What was claimed and is not started."""
        claims = self.next_jobs.take_all()
        for claim in claims:
            self.keeper.let_go(claim)
        return claims

    def _put_back(self) -> bool:
        """Gives back what was claimed when the database went away: it could not be settled, by no fault of its own.

        False while other jobs are under way that can still be settled.
        """
        if self.lanes.busy:
            return False
        self._drop_next()
        for job_id in self.queue.release_worker(self.worker_id):
            log.warning("job.released", action="release_worker", job_id=job_id, worker_id=self.worker_id)
        self._unsettled.clear()
        return True

    def _claim(self) -> list[Claim]:
        """Jobs for the free lanes; for the last one only a job of the highest priority."""
        free = self.lanes.free
        free -= self.next_jobs.waiting  # later: what ends in between is counted with neither
        if free <= 0 or not self.breakers.closed():
            return []
        idle = not self.lanes.busy and not self.next_jobs.waiting  # in this order: what ends has left its next job here
        return self.queue.claim_some(self.worker_id, self._wish(free, idle=idle))

    def _wish_after(self, ending: int) -> Wish | None:
        """The same for lanes that are about to end."""
        if self.told_to_stop.is_set() or self._unsettled.is_set() or not self.breakers.well():
            return None
        wish = self._wish(self.lanes.free + ending - self.next_jobs.waiting, idle=False)
        return replace(wish, most=min(wish.most, ending))

    def _wish(self, free: int, *, idle: bool) -> Wish:
        """Jobs whose vectors could not be stored now wait as pending."""
        return Wish(
            most=max(URGENT_LANES, free - URGENT_LANES),
            without=[task.type for task in self.runner.tasks.values() if task.makes_vectors],
            while_away=Dependency.VECTOR_STORE,
            at_least=LOWEST_PRIORITY if free > URGENT_LANES else HIGHEST_PRIORITY,
            idle=idle,
        )

    def _attempt(self, claim: Claim) -> None:
        begun = time.perf_counter()
        try:
            ending = self.runner.run(claim, self.keeper.held_since(claim))
        except DatabaseUnavailable as error:
            log.warning("worker.database_error", action="settle", worker_id=self.worker_id, error=str(error))
            self._unsettled.set()
            return
        finally:
            self.keeper.let_go(claim)
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
