"""Removes files that no job names any more, and rows that were kept for long enough."""

import threading
from collections.abc import Callable, Mapping

import structlog

from media_inference.artifacts.local_store import LocalStore
from media_inference.errors import DatabaseUnavailable, TransientError
from media_inference.queue.job_records import JobRecords

log = structlog.get_logger()

_EVERY = 600.0
_OLD_ENOUGH = 3600.0


class Caretaker:
    """A thread that sweeps the result files: those of attempts that never settled, and of jobs that are gone.

    ``trims``, by the name of what they trim, remove some rows each and return how many; they are called until none is
    left to remove.
    """

    def __init__(self, artifacts: LocalStore, records: JobRecords, trims: Mapping[str, Callable[[], int]]) -> None:
        self._artifacts = artifacts
        self._records = records
        self._trims = trims
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
            self._sweep()
            for name, trim in self._trims.items():
                self._trim(name, trim)
            if self._stopped.wait(_EVERY):
                return

    def _sweep(self) -> None:
        try:
            removed = self._artifacts.sweep(_OLD_ENOUGH, self._records.existing)
        except (DatabaseUnavailable, TransientError) as error:
            log.warning("files.sweep_failed", action="sweep", error=str(error))
        else:
            if removed:
                log.info("files.swept", action="sweep", removed=removed)

    def _trim(self, name: str, trim: Callable[[], int]) -> None:
        removed = 0
        try:
            while not self._stopped.is_set() and (some := trim()):
                removed += some
        except DatabaseUnavailable as error:
            log.warning("rows.trim_failed", action="trim", rows=name, error=str(error))
        if removed:
            log.info("rows.trimmed", action="trim", rows=name, removed=removed)
