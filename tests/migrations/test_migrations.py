"""The migrations lead to exactly the tables of the code."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from media_inference.errors import CannotStart
from media_inference.jobs.event import EventType
from media_inference.jobs.job import NewJob
from media_inference.jobs.outcome import Findings
from media_inference.queue.engine import open_engine, wal_is_safe
from media_inference.queue.events import EventLog
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.migrate import database_revision, migrate, newest_revision
from media_inference.queue.rules import Rules
from media_inference.queue.submission import Origin
from media_inference.queue.tables import metadata
from media_inference.queue.tallies import TALLY_RULE
from media_inference.queue.turns import Wish

ROOT = Path(__file__).resolve().parents[2]


def test_migrated_tables_are_those_of_the_code(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/test.db")
    migrate(engine)
    assert migrate(engine) == newest_revision() == database_revision(engine)
    with engine.connect() as connection, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*expression-based index.*")
        ordered = {"ix_queue_claim_order", "ix_queue_type_order"}
        names = {"include_name": lambda name, _kind, _parents: name not in ordered}
        context = MigrationContext.configure(connection, opts=names)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_jobs_that_are_under_way_get_the_event_of_their_beginning(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/test.db")
    migrate(engine, to="0002")
    with engine.begin() as connection:
        for number, status in enumerate(("pending", "completed", "processing", "failed")):
            connection.exec_driver_sql(
                "INSERT INTO jobs (job_id, task_type, media_store_id, status, priority, created_at) "
                "VALUES (?, 'face_detection', '7', ?, 3, ?)",
                (f"job-{number}", status, 100 - number),
            )
    migrate(engine)
    found = EventLog(engine).page(0, 10).events
    assert [(event.event_id, event.job_id, event.at) for event in found] == [(1, "job-2", 98), (2, "job-0", 100)]
    assert {event.type for event in found} == {EventType.QUEUED}
    assert found[0].data == {"task_type": "face_detection", "media_store_id": "7", "priority": 3}
    engine.dispose()


def test_jobs_that_wait_are_found_by_their_task_types_and_still_tallied(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/test.db")
    migrate(engine, to="0008")
    with engine.begin() as connection:
        for number, task_type in enumerate(("image_embedding", "face_detection")):
            connection.exec_driver_sql(
                "INSERT INTO jobs (job_id, task_type, media_store_id, status, priority, created_at) "
                "VALUES (?, ?, '7', 'pending', 3, 0)",
                (f"job-{number}", task_type),
            )
            connection.exec_driver_sql("INSERT INTO queue (job_id, priority) VALUES (?, 3)", (f"job-{number}",))
    migrate(engine)
    queue = JobQueue(engine)
    (claim,) = queue.claim_some("w", Wish(2, without=["image_embedding"]))
    assert claim.job_id == "job-1"
    assert queue.settle(claim, Findings({}), lambda: None)
    assert not list(Rules(engine).broken(TALLY_RULE))
    assert JobRecords(engine).statistics().waiting_by_priority == {3: 1}
    assert queue.submit_or_share(NewJob("image_embedding", "7")).job.job_id == "job-0"
    assert queue.submit_or_share(NewJob("face_detection", "7")).origin is Origin.NEW
    engine.dispose()


def test_claiming_uses_the_index_and_sorts_nothing(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/test.db")
    migrate(engine)
    query = "SELECT job_id FROM queue WHERE lease_token IS NULL AND available_at <= 1 ORDER BY priority DESC, position"
    with engine.connect() as connection:
        plan = " ".join(str(row[3]) for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + query))
    assert "ix_queue_claim_order" in plan
    assert "TEMP B-TREE" not in plan
    engine.dispose()


def test_alembic_upgrade_and_downgrade_work_from_the_root(tmp_path: Path) -> None:
    def alembic(*arguments: str) -> None:
        environment = {"DATABASE_DIR": str(tmp_path), "PATH": ""}
        command = [sys.executable, "-m", "alembic", *arguments]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)

    alembic("upgrade", "head")
    engine = open_engine(f"sqlite:///{tmp_path}/inference.db")
    assert {"jobs", "queue", "media_store_sync_status", "outbox"} <= set(sa.inspect(engine).get_table_names())
    alembic("downgrade", "base")
    assert set(sa.inspect(engine).get_table_names()) <= {"alembic_version", "sqlite_sequence"}
    engine.dispose()


def test_a_database_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/test.db")
    migrate(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(CannotStart, match="9999"):
        migrate(engine)
    engine.dispose()


@pytest.mark.parametrize(
    ("version", "safe"),
    [((3, 53, 4), True), ((3, 51, 3), True), ((3, 51, 2), False), ((3, 50, 7), True), ((3, 44, 6), True)],
)
def test_wal_is_used_only_where_it_cannot_corrupt(version: tuple[int, ...], *, safe: bool) -> None:
    assert wal_is_safe(version) is safe


def test_another_kind_of_database_is_refused_with_one_line() -> None:
    for url in ("mysql://h/d", "nonsense", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(CannotStart, match="DATABASE_URL: expected sqlite:///path"):
            open_engine(url)
