"""What breaks a build where it touches what clients are told: keys, events, backups, room. See `broken.py`."""

import shutil
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.storms.patch import replace


def key_noted_apart() -> None:
    """Keys are looked up before, and noted after, the transactions of their jobs."""
    import sqlalchemy as sa
    from sqlalchemy.dialects import sqlite

    from media_inference.queue.engine import reading, writing
    from media_inference.queue.job_queue import JobQueue
    from media_inference.queue.submission import Answer, Origin, RequestKey, Submission, Wanted
    from media_inference.queue.tables import idempotency_keys as keys

    submit_all = JobQueue.submit_all

    def seek(self: JobQueue, key: RequestKey | None) -> str | None:
        if key is None:
            return None
        with reading(self._engine) as tx:
            return tx.scalar(sa.select(keys.c.job_id).where(keys.c.subject == key.subject, keys.c.key == key.key))

    def note(self: JobQueue, key: RequestKey, job_id: str) -> None:
        with writing(self._engine) as tx:
            row = {"subject": key.subject, "key": key.key, "request_hash": "", "job_id": job_id, "created_at": 0}
            tx.execute(sqlite.insert(keys).values(row).on_conflict_do_nothing())

    def submit_one(self: JobQueue, one: Wanted, known: str | None) -> Answer:
        if known is not None:
            return Submission(Wanted(one.new, job_id=known).job(0), Origin.REPLAYED)
        (answer,) = submit_all(self, [Wanted(one.new, None, one.share and one.key is None, one.job_id)])
        if one.key is not None:
            note(self, one.key, one.job_id)
        return answer

    def submit_apart(self: JobQueue, wanted: Sequence[Wanted]) -> list[Answer]:
        known = [seek(self, one.key) for one in wanted]
        return [submit_one(self, one, job_id) for one, job_id in zip(wanted, known, strict=True)]

    replace(JobQueue, "submit_all", submit_apart)


def live_job_sought_apart() -> None:
    """The live job is looked for before the transaction of the new one."""
    from media_inference.queue.engine import reading
    from media_inference.queue.intake import live_jobs
    from media_inference.queue.job_queue import JobQueue
    from media_inference.queue.submission import Answer, Origin, Submission, Wanted

    submit_all = JobQueue.submit_all

    def submit_apart(self: JobQueue, wanted: Sequence[Wanted]) -> list[Answer]:
        with reading(self._engine) as tx:
            live = [list(live_jobs(tx, [one.new]).values()) if one.share and one.key is None else [] for one in wanted]
        return [
            Submission(found[0], Origin.SHARED) if found else submit_all(self, [Wanted(one.new, one.key)])[0]
            for one, found in zip(wanted, live, strict=True)
        ]

    replace(JobQueue, "submit_all", submit_apart)


def last_id_forgotten() -> None:
    """Who comes back is told of everything from where its first request began."""
    from media_inference.api import events

    replace(events, "_position", lambda _last_event_id, after: after)


def last_id_told_again() -> None:
    """Who comes back is told of the last event once more."""
    from media_inference.api import events

    position = events._position

    def one_before(last_event_id: str | None, after: int | None) -> int | None:
        place = position(last_event_id, after)
        return place and place - 1

    replace(events, "_position", one_before)


def event_beside_its_change() -> None:
    """The event is written a moment after the commit of the change."""
    import sqlalchemy as sa

    from media_inference.queue import outbox
    from media_inference.queue.engine import writing
    from media_inference.queue.events import add_event

    def add_later(tx: sa.Connection, *about: Any, **more: Any) -> None:
        engine = tx.engine

        def add() -> None:
            with writing(engine) as own:
                add_event(own, *about, **more)

        threading.Timer(0.3, add).start()

    replace(outbox, "add_event", add_later)


def log_left_out_of_a_backup() -> None:
    """The file of the database is copied, and what its log has beyond it is not: all since the service began."""
    import sqlalchemy as sa

    from media_inference.queue.snapshot import LiveDatabase

    def copy_file(self: LiveDatabase, target: Path) -> None:
        shutil.copy(str(self._engine.url.database), target)

    begun: list[bool] = []

    def checkpoint_once(connection: Any, *_: object) -> None:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        if not begun and "backup" not in sys.argv:
            begun.append(True)
            connection.execute("PRAGMA wal_checkpoint").fetchall()

    replace(LiveDatabase, "copy", copy_file)
    sa.event.listen(sa.Pool, "checkout", checkpoint_once)


def room_not_asked_for() -> None:
    """New jobs are accepted whatever room there is."""
    from media_inference import room

    replace(room.Room, "require", lambda _self, _size=0: None)


def full_disk_charged() -> None:
    """A job that finds no room is put back as after any other failure."""
    from media_inference.errors import ErrorCode, TransientError
    from media_inference.queue.job_queue import JobQueue

    def retry_instead(self: JobQueue, claim: Any, delay: float = 0.0) -> bool:
        return self.retry(claim, TransientError(ErrorCode.STORAGE_FULL, "there is no room"), delay)

    replace(JobQueue, "release", retry_instead)


def one_line_for_all() -> None:
    """Whoever reads stands in line with whoever writes."""
    from media_inference.api.lines import Lines

    replace(Lines, "of", lambda self, _scope: self._submissions)
