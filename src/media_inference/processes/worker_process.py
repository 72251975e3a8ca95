"""One worker: loads the networks, then claims, runs and settles jobs until it is told to stop.

Started by a supervisor as ``python -m media_inference.processes.worker_process``. The supervisor has looked at the
revision of the database: a worker does without the code of the migrations, which is a seventh of its start.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack

import sqlalchemy as sa
import structlog

from media_inference.artifacts.local_store import LocalStore
from media_inference.errors import CannotStart, DatabaseUnavailable, Dependency
from media_inference.media.decoder import Decoder
from media_inference.media.reader import MediaReader
from media_inference.media.store import MediaStore
from media_inference.processes.chosen_models import refuse_other_models
from media_inference.processes.cores import usable_cores
from media_inference.processes.logs import set_up_logs
from media_inference.processes.media import open_decoder, open_store
from media_inference.processes.networks import load_toolbox
from media_inference.processes.rooms import rooms_to_work
from media_inference.queue.engine import open_engine
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.outages import OutageRecords
from media_inference.queue.wake import Wake
from media_inference.queue.worker_records import WorkerRecord, WorkerRecords
from media_inference.room import Room, require_all
from media_inference.settings import Settings, load_settings
from media_inference.tasks.catalog import TASKS
from media_inference.worker.breaker import Breaker
from media_inference.worker.breakers import Breakers
from media_inference.worker.lease import LeaseKeeper
from media_inference.worker.loop import WorkerLoop
from media_inference.worker.run_job import JobRunner
from media_inference.worker.supervisor import EXIT_CANNOT_START

log = structlog.get_logger()


def main() -> int:
    """Runs one worker; returns the exit code."""
    arguments = _arguments()
    try:
        settings = load_settings(_env_file=None)
        set_up_logs(settings)
        _work(settings, arguments)
    except CannotStart as error:
        if _has_the_word(arguments.word_fd):
            print(f"media-inference: {error}", file=sys.stderr)  # noqa: T201  # for the operator
        return EXIT_CANNOT_START
    except DatabaseUnavailable as error:  # it may be back when the next one starts
        log.warning("worker.database_error", action="start", worker_id=arguments.worker_id, error=str(error))
        return 1
    return 0


def _has_the_word(descriptor: int) -> bool:
    """Whether no other worker has said yet why none can start."""
    try:
        return bool(os.read(descriptor, 1))
    except BlockingIOError:
        return False


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="media-inference-worker")
    parser.add_argument("--worker-id", required=True)
    parser.add_argument("--workers", type=int, required=True, help="workers that share this machine")
    parser.add_argument("--work-fd", type=int, required=True, help="read end of the pipe that says there is work")
    parser.add_argument("--word-fd", type=int, required=True, help="pipe with a byte for who says why none can start")
    parser.add_argument("--outcome-fd", type=int, help="write end of the pipe that says a job was settled")
    parser.add_argument("--event-fd", type=int, help="write end of the pipe that says there is a job event")
    return parser.parse_args()


def _work(settings: Settings, arguments: argparse.Namespace) -> None:
    told_to_stop, stop = _heed_sigterm()
    with ExitStack() as cleanup:
        engine = open_engine(settings.database_url)
        cleanup.callback(engine.dispose)
        refuse_other_models(settings, JobRecords(engine))
        toolbox, device = load_toolbox(settings, threads=_threads(settings, arguments.workers))
        outages = OutageRecords(engine)
        store = open_store(settings)
        cleanup.callback(store.close)
        artifacts = LocalStore(settings.storage_dir)
        breakers = _breakers(store, artifacts, rooms_to_work(settings, engine), outages)
        runner = JobRunner(
            queue=JobQueue(engine, uploads=settings.media_is_remote, on_event=Wake(None, arguments.event_fd).ring),
            media=MediaReader(store, _warm_decoder(settings, cleanup)),
            tasks=TASKS,
            toolbox=toolbox,
            artifacts=artifacts,
            max_retries=settings.worker_max_retries,
            on_away=breakers.trip,
        )
        worker = WorkerRecord(arguments.worker_id, device, toolbox.models())
        loop = WorkerLoop(
            worker_id=worker.worker_id,
            queue=runner.queue,
            runner=runner,
            keeper=_keeper(settings, engine, worker, cleanup),
            breakers=breakers,
            outages=outages,
            work=Wake(arguments.work_fd, None),
            stop=stop,
            poll_interval=settings.worker_poll_interval,
            on_outcome=Wake(None, arguments.outcome_fd).ring,
            told_to_stop=told_to_stop,
        )
        log.info("worker.ready", action="start", worker_id=worker.worker_id, device=device, **worker.models)
        loop.run()


def _heed_sigterm() -> tuple[threading.Event, Wake]:
    """What says that this worker is to stop, and what wakes it then."""
    told_to_stop, stop = threading.Event(), Wake.pipe()

    def on_sigterm(_signal: int, _frame: object) -> None:
        told_to_stop.set()
        stop.ring()

    signal.signal(signal.SIGTERM, on_sigterm)
    return told_to_stop, stop


def _breakers(store: MediaStore, artifacts: LocalStore, rooms: Sequence[Room], outages: OutageRecords) -> Breakers:
    def watch_room() -> None:
        require_all(rooms)

    def probe_storage() -> None:
        watch_room()
        artifacts.check()

    breakers = Breakers(
        {
            Dependency.MEDIA_STORE: Breaker(Dependency.MEDIA_STORE, store.check, outages),
            Dependency.STORAGE: Breaker(Dependency.STORAGE, probe_storage, outages, watch=watch_room),
        }
    )
    breakers.resume()
    return breakers


def _warm_decoder(settings: Settings, cleanup: ExitStack) -> Decoder:
    decoder = open_decoder(settings)
    cleanup.callback(decoder.close)
    decoder.warm()
    return decoder


def _keeper(settings: Settings, engine: sa.Engine, worker: WorkerRecord, cleanup: ExitStack) -> LeaseKeeper:
    """Enters the worker as ready, and keeps saying that it is alive."""
    records = WorkerRecords(engine, patience=settings.lease_seconds)
    records.arrive(worker)
    cleanup.callback(records.leave, worker.worker_id)
    keeper = LeaseKeeper(
        JobQueue(engine),
        records,
        worker.worker_id,
        interval=settings.lease_seconds / 3,
        job_timeout=settings.job_timeout,
    )
    keeper.start()
    cleanup.callback(keeper.stop)
    return keeper


def _threads(settings: Settings, workers: int) -> int:
    """An equal share for each worker of the cores that may be used."""
    return settings.worker_threads or max(1, usable_cores() // max(1, workers))


if __name__ == "__main__":
    sys.exit(main())
