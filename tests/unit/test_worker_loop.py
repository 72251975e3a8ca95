"""A worker's day, when the database goes away in the middle of a job."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from media_inference.artifacts.local_store import LocalStore
from media_inference.errors import Dependency
from media_inference.jobs.job import Claim, NewJob
from media_inference.jobs.outcome import Embedding, EmbeddingSet, Findings
from media_inference.media.decoder import Decoder
from media_inference.media.folder_store import FolderStore
from media_inference.media.reader import Media, MediaReader
from media_inference.queue.engine import open_engine
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.migrate import migrate
from media_inference.queue.outages import OutageRecords
from media_inference.queue.tables import jobs
from media_inference.queue.wake import Wake
from media_inference.queue.worker_records import WorkerRecords
from media_inference.tasks.task import Task
from media_inference.tasks.toolbox import Toolbox
from media_inference.worker.breaker import Breaker
from media_inference.worker.breakers import Breakers
from media_inference.worker.lease import LeaseKeeper
from media_inference.worker.loop import WorkerLoop
from media_inference.worker.next_jobs import NextJobs
from media_inference.worker.run_job import JobRunner
from media_inference.worker.settler import Settler
from tests.stands.model_files import builtin_toolbox

VECTOR = np.full(512, 512**-0.5, np.float32)


class Day:
    """A worker whose database has no room for what the first attempt finds, and has when the second begins."""

    def __init__(self, folder: Path) -> None:
        self.engine = open_engine(f"sqlite:///{folder}/test.db")
        migrate(self.engine)
        self.queue = JobQueue(self.engine)
        self.next_jobs = NextJobs(self.queue, "w")
        self.attempts: list[int] = []
        self.room = 1_000_000
        sa.event.listen(self.engine, "begin", self.limit)
        self.told_to_stop = threading.Event()
        media = folder / "media"
        media.mkdir()
        (media / "1").write_bytes(b"not looked at")
        self.outages = OutageRecords(self.engine)
        breaker = Breaker(Dependency.MEDIA_STORE, lambda: None, self.outages)
        self.breakers = Breakers({Dependency.MEDIA_STORE: breaker})
        self.runner = JobRunner(
            queue=self.queue,
            settler=Settler(self.next_jobs.settle_some),
            media=MediaReader(FolderStore(media), Decoder()),
            tasks={"test": Task("test", "does what the test wants", self.find, makes_vectors=True)},
            toolbox=builtin_toolbox(),
            artifacts=LocalStore(folder / "jobs"),
            max_retries=0,
            on_away=self.breakers.trip,
        )

    def limit(self, connection: sa.Connection) -> None:
        """Each connection has its own limit of pages."""
        driver: Any = connection.connection.driver_connection
        driver.execute(f"PRAGMA max_page_count={self.room}").close()

    def find(self, claim: Claim, _media: Media, _toolbox: Toolbox) -> Findings:
        self.attempts.append(claim.attempt)
        with self.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        self.room = pages if len(self.attempts) == 1 else pages + 10_000
        if len(self.attempts) > 1:
            self.told_to_stop.set()
        return Findings({}, EmbeddingSet("faces", "m", tuple(Embedding(i, VECTOR, {}) for i in range(50))))

    def live(self) -> None:
        work, stop = Wake.pipe(), Wake.pipe()
        records = WorkerRecords(self.engine, patience=30)
        WorkerLoop(
            worker_id="w",
            queue=self.queue,
            runner=self.runner,
            keeper=LeaseKeeper(self.queue, records, "w", interval=60, job_timeout=600),
            breakers=self.breakers,
            next_jobs=self.next_jobs,
            work=work,
            stop=stop,
            poll_interval=0.01,
            on_outcome=lambda: None,
            told_to_stop=self.told_to_stop,
        ).run()
        work.close()
        stop.close()


def test_a_job_that_could_not_be_settled_is_put_back_uncharged_and_done_when_there_is_room(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.queue.submit(NewJob("test", "1"))
    day.live()
    assert day.attempts == [1, 1]
    with day.engine.connect() as connection:
        row = connection.execute(sa.select(*jobs.c["failures", "crashes", "releases", "error_code", "result"])).one()
    assert tuple(row) == (0, 0, 1, None, {})
