"""Workers alone; the API runs elsewhere."""

import signal
import threading

import structlog

from media_inference.processes.chosen_models import refuse_missing_models, refuse_other_models
from media_inference.processes.database import open_database
from media_inference.processes.workers import WorkerPool
from media_inference.queue.job_records import JobRecords
from media_inference.settings import Settings
from media_inference.worker.supervisor import EXIT_CANNOT_START

log = structlog.get_logger()


def run_workers(settings: Settings, processes: int) -> int:
    """Runs until SIGINT or SIGTERM; returns the exit code. Raises `CannotStart`."""
    refuse_missing_models(settings)
    engine = open_database(settings, migrate=False)
    refuse_other_models(settings, JobRecords(engine))
    stop, refused = threading.Event(), threading.Event()

    def on_refusal() -> None:
        refused.set()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    pool = WorkerPool(settings, engine, processes, outcomes=None, events=None, on_refusal=on_refusal)
    pool.start()
    log.info("workers.started", action="start", processes=processes)
    stop.wait()
    pool.stop()
    engine.dispose()
    return EXIT_CANNOT_START if refused.is_set() else 0
