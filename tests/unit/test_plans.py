"""What the queue does every day costs the same however many jobs there are: no statement reads a whole table."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from media_inference.errors import Dependency, ErrorCode, PermanentError, TransientError
from media_inference.jobs.job import Claim, Job, JobStatus, NewJob
from media_inference.jobs.job_id import new_job_id
from media_inference.jobs.outcome import Embedding, EmbeddingSet, Findings
from media_inference.queue.changes import Settlement
from media_inference.queue.engine import open_engine, writing
from media_inference.queue.events import EventLog
from media_inference.queue.intake import add_jobs
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.leases import LeaseWatch
from media_inference.queue.migrate import migrate
from media_inference.queue.outages import OutageRecords
from media_inference.queue.outbox import Outbox
from media_inference.queue.submission import IdempotencyKeys, RequestKey
from media_inference.queue.sync import SyncRecords
from media_inference.queue.turns import Wish

VECTORS = Findings({}, EmbeddingSet("faces", "m", (Embedding(1, np.full(512, 512**-0.5, np.float32), {}),)))
BUSY, CORRUPT = TransientError(ErrorCode.INTERNAL, "x"), PermanentError(ErrorCode.IMAGE_CORRUPT, "x")
WHILE_AWAY = Wish(3, without=["face_embedding"], while_away=Dependency.VECTOR_STORE)

GIVEN = "json_each"
SMALL = {"collections", "counters", "outages", "tallies", "workers", "types", "CONSTANT", "(subquery-1)", GIVEN}
"""What a plan may scan: tables that do not grow with the jobs, what it made itself of a row or a few, what is given."""


class Days:
    """All that the service does with its database while nothing is wrong with it; ``seen`` are the statements."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.queue = JobQueue(engine, uploads=True)
        self.seen = list[str]()
        sa.event.listen(engine, "begin", self.follow)

    def follow(self, connection: sa.Connection) -> None:
        driver: Any = connection.connection.driver_connection
        driver.set_trace_callback(self.seen.append)

    def claim(self, wish: Wish = Wish()) -> Claim:  # noqa: B008  # frozen
        return self.queue.claim_some("w", wish)[0]

    def live(self) -> None:
        for number in range(12):
            self.queue.submit(NewJob("face_embedding", str(number), 5))
            self.queue.submit_once(NewJob("face_detection", str(number), 5), RequestKey("s", str(number)))
            self.queue.submit_or_share(NewJob("face_detection", str(number), 6))
        self.settle()
        self.wait_for_the_vector_store()
        self.end_otherwise()
        self.publish()
        self.look()
        self.forget()

    def settle(self) -> None:
        claim = self.claim()
        assert self.queue.settle(claim, Findings({}), lambda: None)
        self.queue.settle_and_claim([Settlement(self.claim(), VECTORS, lambda: None)], "w", Wish(2))
        self.queue.renew(claim)
        LeaseWatch(self.engine, 30).silent()

    def wait_for_the_vector_store(self) -> None:
        outages = OutageRecords(self.engine)
        outages.begin(Dependency.VECTOR_STORE, "x")
        assert self.queue.claim_some("w", WHILE_AWAY)
        assert outages.current()
        outages.end(Dependency.VECTOR_STORE)

    def end_otherwise(self) -> None:
        self.queue.release_worker("w")
        self.queue.release(self.claim())
        self.queue.retry(self.claim(), BUSY, 0)
        self.queue.fail(self.claim(), CORRUPT)
        self.claim(Wish(2))
        self.queue.charge_worker("w")
        self.queue.charge_lease(self.claim().lease_token)
        self.queue.delete(self.claim().job_id)

    def publish(self) -> None:
        outbox, sync = Outbox(self.engine), SyncRecords(self.engine)
        entries = outbox.waiting(9)
        assert entries
        outbox.publications(entries)
        outbox.acknowledge(*entries)
        for upload in sync.due(9):
            sync.synced(upload)
            sync.of_job(upload.job_id)

    def look(self) -> None:
        records, log = JobRecords(self.engine), EventLog(self.engine)
        records.statistics()
        records.check()
        records.existing([job_id := new_job_id()])
        records.get(job_id)
        log.page(0, 9)
        log.of_job(job_id, 0)
        log.knows(job_id)

    def forget(self) -> None:
        records = JobRecords(self.engine)
        assert records.clean_up(0, list(JobStatus), dry_run=False, removed=lambda _: None).job_ids
        assert EventLog(self.engine).trim(0, 9)
        assert IdempotencyKeys(self.engine).trim(0)

    def plans(self) -> dict[str, list[str]]:
        """The steps of each statement."""
        sa.event.remove(self.engine, "begin", self.follow)
        with self.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.set_trace_callback(None)
            changes = [
                one for one in dict.fromkeys(self.seen) if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)", one)
            ]
            return {
                " ".join(one.split()): [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {one}")]
                for one in changes
            }


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('days')}/test.db")
    migrate(engine)
    days = Days(engine)
    days.live()
    found = days.plans()
    engine.dispose()
    return found


def test_no_statement_scans_a_table_that_grows(plans: dict[str, list[str]]) -> None:
    assert len(plans) > 60
    for statement, steps in plans.items():
        scanned = {step.split()[1] for step in steps if step.startswith("SCAN")} - SMALL
        only_the_first = "LIMIT" in statement and "WHERE" not in statement
        assert not scanned or only_the_first, (statement, steps)


def test_only_the_jobs_of_one_media_item_are_sorted_or_those_that_are_given(plans: dict[str, list[str]]) -> None:
    for statement, steps in plans.items():
        if any("TEMP B-TREE" in step for step in steps) and not any(GIVEN in step for step in steps):
            assert "SEARCH jobs USING INDEX ix_jobs_live (media_store_id=?)" in steps, (statement, steps)


def test_a_claim_begins_at_the_head_of_an_index(plans: dict[str, list[str]]) -> None:
    claims = {statement: steps for statement, steps in plans.items() if "available_at <=" in statement}
    assert {step for steps in claims.values() for step in steps} == {
        "SEARCH queue USING INDEX ix_queue_claim_order (priority>?)",
        "SEARCH queue USING INDEX ix_queue_type_order (task_type=? AND priority>?)",
    }


def instructions(engine: sa.Engine, act: Callable[[], object]) -> int:
    """How many SQLite runs for it: what it costs, without a clock."""
    count = 0

    def one_more() -> int:
        nonlocal count
        count += 1
        return 0

    def follow(connection: sa.Connection) -> None:
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(one_more, 1)

    sa.event.listen(engine, "begin", follow)
    act()
    sa.event.remove(engine, "begin", follow)
    engine.dispose()  # and whoever follows its connections
    return count


def add(engine: sa.Engine, count: int, task_type: str, priority: int) -> None:
    new = [Job(new_job_id(), task_type, str(number), JobStatus.PENDING, priority, number) for number in range(count)]
    with writing(engine) as tx:
        add_jobs(tx, new, 0)


def test_a_claim_costs_the_same_however_many_jobs_it_passes_by(engine: sa.Engine) -> None:
    queue = JobQueue(engine)
    OutageRecords(engine).begin(Dependency.VECTOR_STORE, "x")
    add(engine, 9, "face_detection", priority=1)
    costs = []
    for count in (1, 1000):
        add(engine, count, "face_embedding", priority=9)
        costs.append(instructions(engine, lambda: queue.claim_some("w", WHILE_AWAY)))
    few, many = costs
    assert many < 1.1 * few
    assert {claim.task_type for claim in queue.claim_some("w", WHILE_AWAY)} == {"face_detection"}


def test_a_cleanup_costs_the_same_however_many_reports_wait(engine: sa.Engine) -> None:
    queue, records = JobQueue(engine), JobRecords(engine)
    costs = []
    for count in (1, 1000):
        add(engine, count, "face_detection", priority=1)
        with writing(engine) as tx:
            tx.exec_driver_sql(
                "INSERT OR IGNORE INTO media_store_sync_status (job_id, media_store_id, status, created_at) "
                "SELECT job_id, media_store_id, 'pending', 0 FROM jobs"
            )
        done = queue.submit(NewJob("face_detection", "1", 9)).job_id
        assert queue.settle(claimed := queue.claim_some("w", Wish())[0], Findings({}), lambda: None)
        assert claimed.job_id == done
        ended = [JobStatus.COMPLETED]
        costs.append(instructions(engine, lambda: records.clean_up(0, ended, dry_run=False, removed=lambda _: None)))  # noqa: B023  # called now
        assert records.get(done) is None
    few, many = costs
    assert many < 1.1 * few
