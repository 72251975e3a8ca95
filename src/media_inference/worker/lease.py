"""Keeps a worker's lease alive while it makes progress."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    """A thread that says, every ``interval`` seconds, that this worker and its job are alive.

    A job that runs for more than ``job_timeout`` seconds makes it end the whole process: whatever hangs in native code
    can't be stopped otherwise. The supervisor then charges the job with a crash and starts a new worker.
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
        self._held: _Held | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease-keeper", daemon=True)

    def start(self) -> None:
        """Begins to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        self._thread.join()

    @contextmanager
    def holding(self, claim: Claim) -> Iterator[None]:
        """Renews this claim until the block ends."""
        with self._lock:
            self._held = _Held(claim, self._monotonic())
        try:
            yield
        finally:
            with self._lock:
                self._held = None

    def _keep(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                self._beat()
            except DatabaseUnavailable as error:
                log.warning("lease.beat_failed", action="renew", worker_id=self._worker_id, error=str(error))

    def _beat(self) -> None:
        with self._lock:
            held = self._held
        if held is not None and self._monotonic() - held.since > self._job_timeout:
            log.error("job.hung", action="renew", job_id=held.claim.job_id, timeout_s=self._job_timeout)
            self._end_process(EXIT_HUNG)
            return
        self._records.beat(self._worker_id)
        if held is not None:
            self._queue.renew(held.claim)
