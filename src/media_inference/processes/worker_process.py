"""One worker: loads the networks, then claims, runs and settles jobs until it is told to stop.

A supervisor starts ``python -m media_inference.processes.worker_process`` as a template, and each worker is a fork of
that. The supervisor has looked at the revision of the database: a worker does without the code of the migrations.
"""

import argparse
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing

import sqlalchemy as sa
import structlog

from media_inference.artifacts.local_store import LocalStore
from media_inference.errors import CannotStart, DatabaseUnavailable, Dependency, TransientError
from media_inference.media.decoder import Decoder
from media_inference.media.reader import MediaReader
from media_inference.media.store import MediaStore
from media_inference.processes.chosen_models import refuse_other_models
from media_inference.processes.logs import set_up_logs
from media_inference.processes.media import open_decoder, open_store
from media_inference.processes.networks import load_toolbox
from media_inference.processes.rooms import rooms_to_work
from media_inference.processes.share import Share, batch_size, jobs_at_once, share_of
from media_inference.processes.worker_template import next_worker
from media_inference.queue.engine import open_engine
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.outages import OutageRecords
from media_inference.queue.wake import Wake
from media_inference.queue.worker_records import WorkerRecord, WorkerRecords
from media_inference.room import Room, require_all
from media_inference.runtime.batcher import Batcher
from media_inference.runtime.helpers import Passes
from media_inference.runtime.memory import share_one_heap
from media_inference.settings import Settings, load_settings
from media_inference.tasks.catalog import TASKS
from media_inference.tasks.toolbox import Toolbox
from media_inference.worker.breaker import Breaker
from media_inference.worker.breakers import Breakers
from media_inference.worker.lease import LeaseKeeper
from media_inference.worker.loop import WorkerLoop
from media_inference.worker.next_jobs import NextJobs
from media_inference.worker.run_job import JobRunner
from media_inference.worker.settler import Settler
from media_inference.worker.supervisor import EXIT_CANNOT_START

log = structlog.get_logger()

NICENESS = 5
"""On a machine that is shared with the API a worker gives way: who reads shall not wait for the pictures of others."""


def main() -> int:
    """Runs a template, and in each of its forks a worker; returns the exit code of either."""
    arguments = _arguments()
    gc.freeze()  # forks share what is never looked at again
    worker_id = next_worker(arguments.reports_fd)
    return 0 if worker_id is None else _run_worker(worker_id, arguments)


def _run_worker(worker_id: str, arguments: argparse.Namespace) -> int:
    share_one_heap()
    os.nice(NICENESS)
    try:
        settings = load_settings(_env_file=None)
        set_up_logs(settings)
        _work(worker_id, settings, arguments)
    except CannotStart as error:
        if _has_the_word(arguments.word_fd):
            print(f"media-inference: {error}", file=sys.stderr)  # noqa: T201  # for the operator
        return EXIT_CANNOT_START
    except (DatabaseUnavailable, TransientError) as error:  # it may be back when the next one starts
        log.warning("worker.not_started", action="start", worker_id=worker_id, error=str(error))
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
    parser.add_argument("--workers", type=int, required=True, help="workers that share this machine")
    parser.add_argument("--work-fd", type=int, required=True, help="read end of the pipe that says there is work")
    parser.add_argument("--reports-fd", type=int, required=True, help="write end of the pipe of `next_worker`")
    parser.add_argument("--word-fd", type=int, required=True, help="pipe with a byte for who says why none can start")
    parser.add_argument("--outcome-fd", type=int, help="write end of the pipe that says a job was settled")
    parser.add_argument("--event-fd", type=int, help="write end of the pipe that says there is a job event")
    return parser.parse_args()


def _work(worker_id: str, settings: Settings, arguments: argparse.Namespace) -> None:
    told_to_stop, stop = _heed_sigterm()
    with ExitStack() as cleanup:
        engine = open_engine(settings.database_url)
        cleanup.callback(engine.dispose)
        refuse_other_models(settings, JobRecords(engine))
        share = share_of(settings, arguments.workers)
        batcher, toolbox, device = _networks(settings, share)
        store = cleanup.enter_context(closing(open_store(settings)))
        artifacts = LocalStore(settings.storage_dir)
        breakers = _breakers(store, artifacts, rooms_to_work(settings, engine), OutageRecords(engine))
        queue = JobQueue(engine, uploads=settings.media_is_remote, on_event=Wake(None, arguments.event_fd).ring)
        next_jobs = NextJobs(queue, worker_id)
        runner = JobRunner(
            queue=queue,
            settler=Settler(next_jobs.settle_some),
            media=MediaReader(store, _warm_decoder(settings, share, cleanup)),
            tasks=TASKS,
            toolbox=toolbox,
            artifacts=artifacts,
            max_retries=settings.worker_max_retries,
            on_away=breakers.trip,
        )
        worker = WorkerRecord(worker_id, device, toolbox.models())
        loop = WorkerLoop(
            worker_id=worker_id,
            queue=queue,
            runner=runner,
            next_jobs=next_jobs,
            keeper=_keeper(settings, engine, worker, cleanup),
            breakers=breakers,
            work=Wake(arguments.work_fd, None),
            stop=stop,
            poll_interval=settings.worker_poll_interval,
            on_outcome=Wake(None, arguments.outcome_fd).ring,
            told_to_stop=told_to_stop,
            jobs_at_once=jobs_at_once(settings, share, batcher.largest),
        )
        batcher.company = lambda: loop.lanes.busy
        log.info("worker.ready", action="start", worker_id=worker_id, device=device, **worker.models)
        loop.run()


def _networks(settings: Settings, share: Share) -> tuple[Batcher, Toolbox, str]:
    batcher = Batcher(runs=share.passes, patience=settings.batch_max_wait_ms / 1000)
    toolbox, device = load_toolbox(settings, share.alone, batcher, Passes(held=share.alone - share.threads))
    batcher.largest = batch_size(settings, device)
    return batcher, toolbox, device


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


def _warm_decoder(settings: Settings, share: Share, cleanup: ExitStack) -> Decoder:
    decoder = open_decoder(settings, share.decoders)
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


if __name__ == "__main__":
    sys.exit(main())
