"""The worker processes of one machine, with the pipes that wake them."""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
import structlog

from media_inference.errors import DatabaseUnavailable
from media_inference.processes.worker_template import WorkerLife, WorkerTemplate
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.leases import LeaseWatch
from media_inference.queue.wake import Wake
from media_inference.queue.worker_records import WorkerRecords
from media_inference.settings import Settings
from media_inference.worker.lease_guard import LeaseGuard
from media_inference.worker.supervisor import Supervisor

log = structlog.get_logger()


class WorkerPool:
    """Supervised workers.

    ``outcomes``: the pipe that they ring after each job, if the publisher is here; ``events``: the one that is rung
    after each job event, if the API is.
    """

    def __init__(
        self,
        settings: Settings,
        engine: sa.Engine,
        count: int,
        *,
        outcomes: Wake | None,
        events: Wake | None,
        on_refusal: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._count = count
        self._outcomes = outcomes
        self._events = events
        self._queue = JobQueue(engine, on_event=(lambda: None) if events is None else events.ring)
        self._records = WorkerRecords(engine, patience=settings.lease_seconds)
        # One byte, for the first worker that can't start: it says why, for all of them.
        self._word = Wake.pipe()
        self._word.ring()
        self._at_work: dict[str, WorkerTemplate] = {}
        self._resting: list[WorkerTemplate] = []
        # Nobody rings while a doorbell is closed: by then its descriptor may be that of another file.
        self._at_the_doorbells = threading.Lock()
        self._supervisor = Supervisor(
            count, self._launch, on_death=self._on_death, on_stop=self._on_stop, on_refusal=on_refusal
        )
        self._guard = LeaseGuard(
            LeaseWatch(engine, patience=settings.lease_seconds),
            self._queue,
            interval=settings.lease_seconds / 6,
            on_silence=self._supervisor.kill,
        )

    def start(self) -> None:
        """Starts the workers."""
        self._supervisor.start()
        self._guard.start()

    def stop(self) -> None:
        """Stops the workers; a job that can't be finished within the grace is put back."""
        self._guard.stop()
        self._supervisor.stop(self._settings.shutdown_grace)
        for template in self._resting:
            template.close()
        self._word.close()

    def ring(self) -> None:
        """There is work."""
        with self._at_the_doorbells:
            for template in self._at_work.values():
                template.doorbell.ring()

    def running(self) -> int:
        """How many worker processes there are now."""
        return len(self._supervisor.worker_ids())

    def _launch(self, worker_id: str) -> WorkerLife:
        with self._at_the_doorbells:
            template = self._resting.pop() if self._resting else None
        template = template or self._new_template()
        try:
            life = template.begin(worker_id)
        except OSError:
            template.close()
            raise
        with self._at_the_doorbells:
            self._at_work[worker_id] = template
        return life

    def _new_template(self) -> WorkerTemplate:
        command = [sys.executable, "-m", "media_inference.processes.worker_process", "--workers", str(self._count)]
        passed: list[int] = []
        for option, descriptor in (
            ("--word-fd", self._word.reader),
            ("--outcome-fd", None if self._outcomes is None else self._outcomes.writer),
            ("--event-fd", None if self._events is None else self._events.writer),
        ):
            if descriptor is not None:
                command += [option, str(descriptor)]
                passed.append(descriptor)
        return WorkerTemplate(command, passed, os.environ | self._settings.as_environment())

    def _on_death(self, worker_id: str) -> bool:
        charged: Sequence[str] = ()
        with self._forgetting(worker_id):
            charged = self._queue.charge_worker(worker_id)
            for job_id in charged:
                log.error("job.crashed_its_worker", action="charge_worker", job_id=job_id, worker_id=worker_id)
        self.ring()
        return bool(charged)

    def _on_stop(self, worker_id: str) -> None:
        with self._forgetting(worker_id):
            for job_id in self._queue.release_worker(worker_id):
                log.warning("job.released", action="release_worker", job_id=job_id, worker_id=worker_id)

    @contextmanager
    def _forgetting(self, worker_id: str) -> Iterator[None]:
        """While the database is away its job stays where it is: the lease runs out."""
        with self._at_the_doorbells:
            template = self._at_work.pop(worker_id)
            if template.can_begin:
                self._resting.append(template)
            else:
                template.close()
        try:
            yield
            self._records.leave(worker_id)
        except DatabaseUnavailable as error:
            log.warning("worker.not_struck_off", action="forget", worker_id=worker_id, error=str(error))
