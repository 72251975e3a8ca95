"""Removes files that no job names any more."""

import threading

import structlog

from media_inference.artifacts.local_store import LocalStore
from media_inference.errors import DatabaseUnavailable, TransientError
from media_inference.queue.job_records import JobRecords

log = structlog.get_logger()

_EVERY = 600.0
_OLD_ENOUGH = 3600.0


class Caretaker:
    """A thread that sweeps the result files: those of attempts that never settled, and of jobs that are gone."""

    def __init__(self, artifacts: LocalStore, records: JobRecords) -> None:
        self._artifacts = artifacts
        self._records = records
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="caretaker", daemon=True)

    def start(self) -> None:
        """Sweeps now and then every ten minutes."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                removed = self._artifacts.sweep(_OLD_ENOUGH, self._records.existing)
            except (DatabaseUnavailable, TransientError) as error:
                log.warning("files.sweep_failed", action="sweep", error=str(error))
            else:
                if removed:
                    log.info("files.swept", action="sweep", removed=removed)
            if self._stopped.wait(_EVERY):
                return
