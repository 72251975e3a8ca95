"""Takes jobs back from workers that fell silent."""

import threading
from collections.abc import Callable

import structlog

from media_inference.errors import DatabaseUnavailable
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.leases import LeaseWatch

log = structlog.get_logger()


class LeaseGuard:
    """A thread that looks at all leases every ``interval`` seconds.

    A lease that stood still for too long is taken back and charged as a crash; ``on_silence`` gets the worker's id, so
    that a supervisor can end a worker of its own that hangs.
    """

    def __init__(self, watch: LeaseWatch, queue: JobQueue, interval: float, on_silence: Callable[[str], None]) -> None:
        self._watch = watch
        self._queue = queue
        self._interval = interval
        self._on_silence = on_silence
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._guard, name="lease-guard", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        self._thread.join()

    def _guard(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                self._look()
            except DatabaseUnavailable as error:
                log.warning("lease.watch_failed", action="watch", error=str(error))
                self._watch.forget()

    def _look(self) -> None:
        for lease in self._watch.silent():
            for job_id in self._queue.charge_lease(lease.lease_token):
                log.warning("lease.silent", action="charge_lease", job_id=job_id, worker_id=lease.worker_id)
            self._on_silence(lease.worker_id)
