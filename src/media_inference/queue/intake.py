"""Requests for jobs -> their answers, all in the one submitting transaction.

First it is decided, request by request and in their order, what each comes to; what came with the same transaction
counts like what was there before. Then all that is new is written, with one statement for each table. What is decided
can't fail when it is written, so a request that is refused takes nothing from the others.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import sqlalchemy as sa

from media_inference.errors import KeyReused, QueueFull
from media_inference.jobs.event import EventType
from media_inference.jobs.job import Job, JobStatus, NewJob
from media_inference.queue.driver import as_json, fetch
from media_inference.queue.submission import Answer, Origin, RequestKey, Submission, Wanted
from media_inference.queue.tables import idempotency_keys as keys
from media_inference.queue.tables import jobs, queue
from media_inference.queue.tallies import count_waiting

QUEUE_LIMIT = 1_000_000

_Item = tuple[str, str]
"""Task type and media item."""

_ADD_KEYS = keys.insert().inline()
_RAISE = [
    table.update().where(table.c.job_id == sa.bindparam("of")).values(priority=sa.bindparam("to"))
    for table in (jobs, queue)
]

# Each for all jobs of a transaction, which come as JSON: so the work is SQLite's, and no other thread of this process
# waits for its turn between two jobs. "OR FAIL": see `driver`.
_ADD_JOBS = f"""
INSERT OR FAIL INTO jobs (job_id, task_type, media_store_id, status, priority, created_at)
SELECT value ->> 0, value ->> 1, value ->> 2, '{JobStatus.PENDING}', value ->> 3, value ->> 4
FROM json_each(:jobs) ORDER BY key
"""  # noqa: S608  # of constants
_ADD_PLACES = """
INSERT OR FAIL INTO queue (job_id, priority, task_type)
SELECT value ->> 0, value ->> 3, value ->> 1 FROM json_each(:jobs) ORDER BY key
"""
_ADD_EVENTS = f"""
INSERT OR FAIL INTO events (job_id, type, at, data)
SELECT
  value ->> 0, '{EventType.QUEUED}', :now,
  json_object('task_type', value ->> 1, 'media_store_id', value ->> 2, 'priority', value ->> 3)
FROM json_each(:jobs) ORDER BY key
"""  # noqa: S608  # of constants

LIVE = sa.text("jobs.completed_at IS NULL")
"""In the words of the index: SQLite uses a partial index only where it sees the same condition, without parameters."""


@dataclass(frozen=True, slots=True)
class _First:
    """What a key came with first."""

    request_hash: str
    job_id: str
    created_at: int

    def answer(self, wanted: Wanted) -> Answer:
        """The first answer again, whatever has become of that job."""
        if self.request_hash != wanted.hash():
            return KeyReused()
        return Submission(replace(wanted.job(self.created_at), job_id=self.job_id), Origin.REPLAYED)


class Intake:
    """One submitting transaction; ``limit``: as many jobs may wait."""

    def __init__(self, tx: sa.Connection, now: int, limit: int) -> None:
        self._tx = tx
        self._now = now
        self._room = limit - count_waiting(tx)
        self._known: dict[RequestKey, _First] = {}
        self._live: dict[_Item, Job] = {}
        self._new_jobs: list[Job] = []
        self._new_keys: list[dict[str, object]] = []
        self._raised: dict[str, int] = {}

    def answer(self, wanted: Sequence[Wanted]) -> list[Answer]:
        """Answers the requests and writes what they come to."""
        self._known = _known_keys(self._tx, [one.key for one in wanted if one.key is not None])
        self._live = live_jobs(self._tx, [one.new for one in wanted if one.share and one.key is None])
        answers = [self._answer(one) for one in wanted]
        self._write()
        return answers

    def _answer(self, wanted: Wanted) -> Answer:
        """A key says that the client wants this job of its own; only without one may it share another's."""
        if wanted.key is not None:
            first = self._known.get(wanted.key)
            if first is not None:
                return first.answer(wanted)
        elif wanted.share:
            shared = self._live.get(_item(wanted.new))
            if shared is not None:
                return Submission(self._at_least(shared, wanted.new.priority), Origin.SHARED)
        return self._add(wanted)

    def _add(self, wanted: Wanted) -> Answer:
        if self._room <= 0:
            return QueueFull()
        self._room -= 1
        job = wanted.job(self._now)
        self._new_jobs.append(job)
        self._live.setdefault(_item(wanted.new), job)
        if wanted.key is not None:
            self._known[wanted.key] = first = _First(wanted.hash(), job.job_id, self._now)
            self._new_keys.append({**asdict(wanted.key), **asdict(first)})
        return Submission(job, Origin.NEW)

    def _at_least(self, job: Job, priority: int) -> Job:
        if job.priority >= priority:
            return job
        self._raised[job.job_id] = priority
        self._live[job.task_type, job.media_store_id] = urgent = replace(job, priority=priority)
        return urgent

    def _write(self) -> None:
        if self._new_jobs:
            add_jobs(self._tx, self._new_jobs, self._now)
        if self._new_keys:
            self._tx.execute(_ADD_KEYS, self._new_keys)
        if self._raised:
            for statement in _RAISE:
                self._tx.execute(statement, [{"of": job_id, "to": to} for job_id, to in self._raised.items()])


def add_jobs(tx: sa.Connection, new: Iterable[Job], now: int) -> None:
    """Writes new jobs with their places in the queue, in their order, and their events."""
    values = [(job.job_id, job.task_type, job.media_store_id, job.priority, job.created_at) for job in new]
    rows = {"jobs": as_json(values)}
    fetch(tx, _ADD_JOBS, rows)
    fetch(tx, _ADD_PLACES, rows)
    fetch(tx, _ADD_EVENTS, {**rows, "now": now})


def _known_keys(tx: sa.Connection, asked: Iterable[RequestKey]) -> dict[RequestKey, _First]:
    """Those of the keys that came before."""
    by_subject = defaultdict[str, set[str]](set)
    for key in asked:
        by_subject[key.subject].add(key.key)
    return {
        RequestKey(subject, row.key): _First(row.request_hash, row.job_id, row.created_at)
        for subject, words in by_subject.items()
        for row in tx.execute(sa.select(keys).where(keys.c.subject == subject, keys.c.key.in_(words)))
    }


def live_jobs(tx: sa.Connection, wanted: Sequence[NewJob]) -> dict[_Item, Job]:
    """The oldest job that is under way for each of these tasks and media items, where there is one."""
    if not wanted:
        return {}
    query, found = live_jobs_query({new.media_store_id for new in wanted}), dict[_Item, Job]()
    for row in tx.execute(query):
        job = Job(row.job_id, row.task_type, row.media_store_id, JobStatus(row.status), row.priority, row.created_at)
        found.setdefault((row.task_type, row.media_store_id), job)
    return found


def live_jobs_query(media_store_ids: Iterable[str]) -> sa.Select[str, str, str, str, int, int]:
    """The live jobs of some media items, oldest first, by the index of live jobs."""
    return (
        sa.select(
            jobs.c.job_id, jobs.c.task_type, jobs.c.media_store_id, jobs.c.status, jobs.c.priority, jobs.c.created_at
        )
        .where(LIVE, jobs.c.media_store_id.in_(media_store_ids))
        .order_by(jobs.c.created_at)
    )


def _item(new: NewJob) -> _Item:
    return new.task_type, new.media_store_id
