"""tallies: how many there are of what, kept by triggers; indexes of jobs that cost less and find the oldest"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_PENDING = sa.text("status = 'pending'")
_FINISHED = sa.text("completed_at IS NOT NULL")

_JOB = "'jobs/' || {row}.status || '/' || {row}.task_type"
_WAITING = "'waiting/' || {row}.priority"
_REPORT = "'reports/' || {row}.status"
_BYTES = "'artifact_bytes'"
_OUTBOX = "'outbox'"
_ADD = """INSERT INTO tallies (name, value) VALUES ({name}, {value})
    ON CONFLICT (name) DO UPDATE SET value = value + excluded.value;"""


def _add(name: str, row: str, value: str = "1") -> str:
    return _ADD.format(name=name.format(row=row), value=value)


def _counting(table: str, name: str, changed: str, counts: str = "1") -> dict[str, str]:
    """The triggers that count the rows of a table for which ``counts``; they look at the columns ``changed``."""
    new, old = counts.replace("it.", "NEW."), counts.replace("it.", "OLD.")
    up, down = _add(name, "NEW", f"({new})"), _add(name, "OLD", f"-({old})")
    return {
        f"tally_{table}_in": f"AFTER INSERT ON {table} WHEN {new} BEGIN {up} END",
        f"tally_{table}_out": f"AFTER DELETE ON {table} WHEN {old} BEGIN {down} END",
        f"tally_{table}_change": f"AFTER UPDATE OF {changed} ON {table} "
        f"WHEN {name.format(row='OLD')} <> {name.format(row='NEW')} OR ({old}) <> ({new}) BEGIN {down} {up} END",
    }


_SIZE = "artifact_bytes"
_TRIGGERS = {
    **_counting("jobs", _JOB, "status, task_type"),
    **_counting("queue", _WAITING, "priority, lease_token", "it.lease_token IS NULL"),
    **_counting("media_store_sync_status", _REPORT, "status"),
    "tally_outbox_in": f"AFTER INSERT ON outbox BEGIN {_add(_OUTBOX, 'NEW')} END",
    "tally_outbox_out": f"AFTER DELETE ON outbox BEGIN {_add(_OUTBOX, 'OLD', '-1')} END",
    "tally_bytes_in": f"AFTER INSERT ON jobs WHEN NEW.{_SIZE} BEGIN {_add(_BYTES, 'NEW', f'NEW.{_SIZE}')} END",
    "tally_bytes_out": f"AFTER DELETE ON jobs WHEN OLD.{_SIZE} BEGIN {_add(_BYTES, 'OLD', f'-OLD.{_SIZE}')} END",
    "tally_bytes_change": f"AFTER UPDATE OF {_SIZE} ON jobs WHEN OLD.{_SIZE} <> NEW.{_SIZE} "
    f"BEGIN {_add(_BYTES, 'NEW', f'NEW.{_SIZE} - OLD.{_SIZE}')} END",
}

_COUNT = """
INSERT INTO tallies (name, value)
SELECT 'jobs/' || status || '/' || task_type, count(*) FROM jobs GROUP BY status, task_type
UNION ALL SELECT 'waiting/' || priority, count(*) FROM queue WHERE lease_token IS NULL GROUP BY priority
UNION ALL SELECT 'reports/' || status, count(*) FROM media_store_sync_status GROUP BY status
UNION ALL SELECT 'outbox', count(*) FROM outbox
UNION ALL SELECT 'artifact_bytes', coalesce(sum(artifact_bytes), 0) FROM jobs
"""


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_tallies"),
        sqlite_with_rowid=False,
    )
    op.execute(_COUNT)
    for name, what in _TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {what}")
    op.drop_index("ix_jobs_status_task_type", "jobs")
    op.drop_index("ix_jobs_status_completed_at", "jobs")
    op.create_index("ix_jobs_pending", "jobs", ["created_at"], sqlite_where=_PENDING, postgresql_where=_PENDING)
    op.create_index("ix_jobs_finished", "jobs", ["completed_at"], sqlite_where=_FINISHED, postgresql_where=_FINISHED)


def downgrade() -> None:
    op.drop_index("ix_jobs_finished", "jobs")
    op.drop_index("ix_jobs_pending", "jobs")
    op.create_index("ix_jobs_status_completed_at", "jobs", ["status", "completed_at"])
    op.create_index("ix_jobs_status_task_type", "jobs", ["status", "task_type"])
    for name in _TRIGGERS:
        op.execute(f"DROP TRIGGER {name}")
    op.drop_table("tallies")
