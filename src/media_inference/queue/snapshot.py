"""A copy of the database as it is at one moment, and how a copy becomes a database again."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError

from media_inference.errors import DatabaseUnavailable
from media_inference.jobs.job import JobStatus
from media_inference.queue.clock import wall_clock
from media_inference.queue.engine import open_engine, sqlite_module, writing
from media_inference.queue.events import renumber
from media_inference.queue.inventory import Inventory
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.migrate import database_revision, migrate
from media_inference.queue.repairs import begin_another_life
from media_inference.queue.tables import jobs, outages, queue, workers


class LiveDatabase:
    """A database that others use meanwhile. Methods raise `DatabaseUnavailable`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def copy(self, target: Path) -> None:
        """Writes the database as it is now into a new file; a target without room is `DatabaseUnavailable` too.

        It reads like any other reader: nobody waits for it, and it waits for nobody.
        """
        sqlite = sqlite_module()
        source = self._engine.raw_connection()
        try:
            with closing(sqlite.connect(target)) as copy:
                driver: Any = source.driver_connection
                driver.backup(copy)  # in one step: between two, a change makes it begin anew, under load for ever
        except sqlite.Error as error:
            raise DatabaseUnavailable(str(error)) from error
        finally:
            source.close()

    def has(self, job_id: str) -> bool:
        """Whether a job is still there."""
        return bool(JobRecords(self._engine).existing([job_id]))


class DatabaseCopy:
    """A database that nobody else uses. Methods raise `DatabaseUnavailable`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self.inventory = Inventory(engine)

    def delete(self, job_id: str) -> None:
        """Removes a job."""
        JobQueue(self._engine).delete(job_id)

    def jobs(self) -> int:
        """How many there are."""
        return JobRecords(self._engine).count()

    def revision(self) -> str:
        """The revision of its tables."""
        return database_revision(self._engine) or ""

    def make_current(self) -> None:
        """Brings it to the newest revision, and gives back, uncharged, the jobs that workers had when it was made.

        Events get new ids, and what was at work begins another life. Raises `CannotStart` for one of a newer release.
        """
        migrate(self._engine)
        held = sa.select(queue.c.job_id).where(queue.c.lease_token.is_not(None))
        given_back = {"status": JobStatus.PENDING, "started_at": None, "attempts": jobs.c.attempts - 1}
        with writing(self._engine) as tx:
            renumber(tx, time.time_ns() // 1000)
            begin_another_life(tx, tx.scalars(held).all(), wall_clock())
            tx.execute(jobs.update().where(jobs.c.job_id.in_(held)).values(given_back))
            tx.execute(queue.update().where(queue.c.lease_token.is_not(None)).values(lease_token=None, worker_id=None))
            tx.execute(workers.delete())
            tx.execute(outages.delete())


@contextmanager
def opened_copy(path: Path) -> Iterator[DatabaseCopy]:
    """A copy as a database; in the end it is one file again. Raises `DatabaseUnavailable` when it is damaged."""
    engine = open_engine(f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}")
    try:
        with engine.connect() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check").scalar_one()
            if found != "ok":
                raise DatabaseUnavailable(f"it is damaged: {found}")
        yield DatabaseCopy(engine)
        engine.dispose()  # the log goes only when one connection is left
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.execute("PRAGMA journal_mode=DELETE").close()
    except DatabaseError as error:
        raise DatabaseUnavailable(str(error.orig)) from error
    finally:
        engine.dispose()
