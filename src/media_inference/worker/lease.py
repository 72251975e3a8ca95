"""Keeps a worker's leases alive while it makes progress."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from media_inference.errors import DatabaseUnavailable
from media_inference.jobs.job import Claim
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.worker_records import WorkerRecords

log = structlog.get_logger()

EXIT_HUNG = 70


@dataclass(frozen=True, slots=True)
class _Held:
    claim: Claim
    since: float


class LeaseKeeper:
    """A thread that says, every ``interval`` seconds, that this worker and its jobs are alive.

    A job that runs for more than ``job_timeout`` seconds makes it end the whole process: whatever hangs in native code
    can't be stopped otherwise. The jobs that don't hang are put back first, so that the supervisor charges the one that
    does, and starts a new worker.
    """

    def __init__(
        self,
        queue: JobQueue,
        records: WorkerRecords,
        worker_id: str,
        *,
        interval: float,
        job_timeout: float,
        end_process: Callable[[int], object] = os._exit,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._records = records
        self._worker_id = worker_id
        self._interval = interval
        self._job_timeout = job_timeout
        self._end_process = end_process
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease-keeper", daemon=True)

    def start(self) -> None:
        """Begins to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        self._thread.join()

    def hold(self, claim: Claim) -> None:
        """Renews this claim until `let_go`."""
        with self._lock:
            self._held[claim.lease_token] = _Held(claim, self._monotonic())

    def held_since(self, claim: Claim) -> float:
        """When `hold` was called for it, in monotonic seconds."""
        with self._lock:
            return self._held[claim.lease_token].since

    def let_go(self, claim: Claim) -> None:
        """The job has ended."""
        with self._lock:
            del self._held[claim.lease_token]

    def _keep(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                self._beat()
            except DatabaseUnavailable as error:
                log.warning("lease.beat_failed", action="renew", worker_id=self._worker_id, error=str(error))

    def _beat(self) -> None:
        with self._lock:
            held = list(self._held.values())
        oldest = self._monotonic() - self._job_timeout
        if hung := [one.claim for one in held if one.since < oldest]:
            self._end(hung)
            return
        self._records.beat(self._worker_id)
        if held:
            self._queue.renew(*(one.claim for one in held))

    def _end(self, hung: list[Claim]) -> None:
        for claim in hung:
            log.error("job.hung", action="renew", job_id=claim.job_id, timeout_s=self._job_timeout)
        try:
            self._queue.release_worker(self._worker_id, but=hung)
        finally:
            self._end_process(EXIT_HUNG)
