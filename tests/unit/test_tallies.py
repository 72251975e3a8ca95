"""Tallies are what counting would give, whatever changes the tables, and cost the same however much there is."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from media_inference.errors import ErrorCode, PermanentError, TransientError
from media_inference.jobs.job import Claim, JobStatus, NewJob
from media_inference.jobs.outcome import Artifact, Embedding, EmbeddingSet, Findings
from media_inference.queue.engine import open_engine
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import OLDEST_PENDING, JobRecords
from media_inference.queue.migrate import migrate
from media_inference.queue.outbox import Outbox
from media_inference.queue.repairs import Repairs
from media_inference.queue.rules import Rules
from media_inference.queue.sync import SyncRecords
from media_inference.queue.tallies import TALLY_RULE, count_waiting, read_tallies

TASKS = ("face_detection", "face_embedding")
TABLES = ("jobs", "queue", "media_store_sync_status", "outbox")


def tallies_off(engine: sa.Engine) -> list[Any]:
    return [name for page in Rules(engine).broken(TALLY_RULE) for name in page]


def nothing() -> None:
    pass


class Life:
    """Every way in which the service changes the counted tables, one at a time, in an order that a seed gives."""

    def __init__(self, engine: sa.Engine, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311  # chooses what happens next, no secret
        self.queue, self.records = JobQueue(engine, uploads=True), JobRecords(engine)
        self.outbox, self.sync, self.repairs = Outbox(engine), SyncRecords(engine), Repairs(engine)
        self.ids = list[str]()
        self.claims = list[Claim]()

    def step(self) -> None:
        self.dice.choice(
            (self.submit, self.submit, self.claim, self.claim, self.end, self.end, self.outside, self.gone)
        )()

    def submit(self) -> None:
        new = NewJob(self.dice.choice(TASKS), str(self.dice.randrange(6)), self.dice.randrange(11))
        job = self.queue.submit_or_share(new).job if self.dice.random() < 0.5 else self.queue.submit(new)
        self.ids.append(job.job_id)

    def claim(self) -> None:
        claim = self.queue.claim(self.dice.choice(("w-1", "w-2")))
        if claim is not None:
            self.claims.append(claim)

    def end(self) -> None:
        if not self.claims:
            return
        claim = self.claims.pop(self.dice.randrange(len(self.claims)))
        ends: tuple[Callable[[], object], ...] = (
            *[lambda: self.queue.settle(claim, self.findings(claim), nothing)] * 5,
            lambda: self.queue.fail(claim, PermanentError(ErrorCode.IMAGE_CORRUPT, "x")),
            lambda: self.queue.retry(claim, TransientError(ErrorCode.INTERNAL, "x"), 0),
            lambda: self.queue.release(claim),
            lambda: self.queue.release_worker("w-1"),
            lambda: self.queue.charge_worker("w-2"),
            lambda: self.queue.charge_lease(claim.lease_token),
        )
        self.dice.choice(ends)()

    def findings(self, claim: Claim) -> Findings:
        files = tuple(Artifact(f"{n}.bin", b"x" * 10) for n in range(self.dice.randrange(3)))
        if claim.task_type == "face_detection":
            return Findings({}, artifacts=files)
        vector = np.full(512, 512**-0.5, np.float32)
        return Findings({}, EmbeddingSet("faces", "m", (Embedding(1, vector, {}),)), files)

    def outside(self) -> None:
        for entry in self.outbox.waiting(2):
            self.outbox.acknowledge(entry)
        for upload in self.sync.due(1):
            self.dice.choice((self.sync.synced, lambda due: self.sync.fail(due, "x")))(upload)
        if self.dice.random() < 0.2:
            self.sync.restart_failed()

    def gone(self) -> None:
        if self.ids and self.dice.random() < 0.5:
            self.queue.delete(self.dice.choice(self.ids))
        elif self.dice.random() < 0.1:
            self.repairs.run_again(self.ids)
        elif self.dice.random() < 0.3:
            self.records.clean_up(0, [JobStatus.FAILED], dry_run=False, removed=lambda _: None)


@pytest.mark.parametrize("seed", range(3))
def test_tallies_are_what_there_is_after_every_change(engine: sa.Engine, seed: int) -> None:
    life, files, reports = Life(engine, seed), 0, set[str]()
    for _ in range(150):
        life.step()
        assert tallies_off(engine) == []
        with engine.connect() as tx:
            found = read_tallies(tx)
            assert sum(found.jobs.values()) == tx.exec_driver_sql("SELECT count(*) FROM jobs").scalar_one()
            assert sum(found.waiting.values()) == count_waiting(tx)
        files, reports = max(files, found.artifact_bytes), reports | set(found.reports)
    assert files > 0
    assert reports >= {"pending", "synced"}
    for table in TABLES:  # a cascade and a statement without a condition count as any other
        with engine.begin() as tx:
            tx.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608  # from the list above
        assert tallies_off(engine) == []


@pytest.mark.parametrize("change", ["UPDATE tallies SET value = value + 1", "DELETE FROM tallies"])
def test_an_audit_finds_tallies_that_are_off_and_counts_again(engine: sa.Engine, change: str) -> None:
    life = Life(engine, 7)
    for _ in range(60):
        life.step()
    with engine.begin() as tx:
        before = read_tallies(tx)
        tx.exec_driver_sql(change)
    off = tallies_off(engine)
    assert {"artifact_bytes", "jobs/pending/face_detection"} <= set(off)
    Rules(engine).mend(TALLY_RULE, off)
    assert tallies_off(engine) == []
    with engine.connect() as tx:
        assert read_tallies(tx) == before


def test_a_database_of_an_older_release_is_counted_when_it_is_brought_up(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/old.db")
    migrate(engine, to="0006")
    with engine.begin() as tx:
        for number, status in enumerate(("pending", "pending", "completed")):
            tx.exec_driver_sql(
                "INSERT INTO jobs (job_id, task_type, media_store_id, status, priority, created_at, artifact_bytes) "
                "VALUES (?, 'face_detection', '7', ?, 3, 0, 10)",
                (f"job-{number}", status),
            )
        tx.exec_driver_sql("INSERT INTO queue (job_id, priority) SELECT job_id, 3 FROM jobs WHERE status = 'pending'")
    assert JobRecords(engine).count() == 3
    migrate(engine)
    assert tallies_off(engine) == []
    found = JobRecords(engine).statistics()
    assert (found.jobs_by_status["pending"], found.waiting_by_priority, found.artifact_bytes) == (2, {3: 2}, 30)
    engine.dispose()


def plan(engine: sa.Engine, query: str) -> str:
    with engine.connect() as tx:
        return " | ".join(str(row[3]) for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))


def test_statistics_read_no_table_of_jobs(engine: sa.Engine) -> None:
    seen = list[str]()
    sa.event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: seen.append(statement))
    JobRecords(engine).statistics()
    SyncRecords(engine).counts()
    from_jobs = [statement for statement in seen if "FROM jobs" in statement]
    assert from_jobs == [str(OLDEST_PENDING.compile(engine))]
    assert "COVERING INDEX ix_jobs_pending" in plan(engine, from_jobs[0])
    assert not any(f"FROM {table}" in statement for table in TABLES[1:] for statement in seen)


def test_a_cleanup_finds_finished_jobs_by_their_index(engine: sa.Engine) -> None:
    seen = list[str]()
    sa.event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: seen.append(statement))
    JobRecords(engine).clean_up(0, [JobStatus.FAILED], dry_run=False, removed=lambda _: None)
    (query,) = (statement for statement in seen if "artifact_files" in statement)
    with engine.connect() as tx:
        rows = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", ("failed", 0, "pending", 500, 0))
        assert "INDEX ix_jobs_finished (completed_at<?)" in " | ".join(str(row[3]) for row in rows)
