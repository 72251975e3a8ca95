"""queue.task_type: waiting jobs of some types are found without a look at others; claims and settlings change less"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_WAITING = sa.text("lease_token IS NULL")
_UNFINISHED = sa.text("completed_at IS NULL")
_LIVE = sa.text("status IN ('pending', 'processing')")

_MORE = """INSERT INTO tallies (name, value) VALUES ({name}, 1)
    ON CONFLICT (name) DO UPDATE SET value = value + 1;"""
_LESS = "UPDATE tallies SET value = value - 1 WHERE name = {name};"
_JOB = "'jobs/' || {row}.status || '/' || {row}.task_type"
_PRIORITY = "'waiting/' || {row}.priority"


def _less(name: str) -> str:
    return _LESS.format(name=name.format(row="OLD"))


def _more(name: str) -> str:
    return _MORE.format(name=name.format(row="NEW"))


# They look at columns where those of 0007 put names together, and leave a tally alone that stays as it is.
_TRIGGERS = {
    "tally_jobs_change": "AFTER UPDATE OF status, task_type ON jobs "
    f"WHEN OLD.status <> NEW.status OR OLD.task_type <> NEW.task_type BEGIN {_less(_JOB)} {_more(_JOB)} END",
    "tally_queue_claimed": "AFTER UPDATE OF lease_token ON queue "
    f"WHEN OLD.lease_token IS NULL AND NEW.lease_token IS NOT NULL BEGIN {_less(_PRIORITY)} END",
    "tally_queue_freed": "AFTER UPDATE OF lease_token ON queue "
    f"WHEN OLD.lease_token IS NOT NULL AND NEW.lease_token IS NULL BEGIN {_more(_PRIORITY)} END",
    "tally_queue_raised": "AFTER UPDATE OF priority ON queue WHEN OLD.priority <> NEW.priority "
    f"AND OLD.lease_token IS NULL AND NEW.lease_token IS NULL BEGIN {_less(_PRIORITY)} {_more(_PRIORITY)} END",
}

_ADD = """INSERT INTO tallies (name, value) VALUES ({name}, {value})
    ON CONFLICT (name) DO UPDATE SET value = value + excluded.value;"""
_WAITS = "({row}.lease_token IS NULL)"


def _from_to(name: str, counts: str) -> str:
    less = _ADD.format(name=name.format(row="OLD"), value="-" + counts.format(row="OLD"))
    return f"BEGIN {less} {_ADD.format(name=name.format(row='NEW'), value=counts.format(row='NEW'))} END"


_OLD_TRIGGERS = {
    "tally_jobs_change": "AFTER UPDATE OF status, task_type ON jobs "
    f"WHEN {_JOB.format(row='OLD')} <> {_JOB.format(row='NEW')} {_from_to(_JOB, '1')}",
    "tally_queue_change": "AFTER UPDATE OF priority, lease_token ON queue "
    f"WHEN {_PRIORITY.format(row='OLD')} <> {_PRIORITY.format(row='NEW')} "
    f"OR {_WAITS.format(row='OLD')} <> {_WAITS.format(row='NEW')} {_from_to(_PRIORITY, _WAITS)}",
}


def upgrade() -> None:
    op.add_column("queue", sa.Column("task_type", sa.String(length=64), nullable=False, server_default=""))
    op.execute("UPDATE queue SET task_type = jobs.task_type FROM jobs WHERE jobs.job_id = queue.job_id")
    op.create_index(
        "ix_queue_type_order",
        "queue",
        ["task_type", sa.text("priority DESC"), "position"],
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )
    op.drop_index("ix_queue_worker_id", "queue")
    _make_live_index(_UNFINISHED)
    _exchange(_OLD_TRIGGERS, _TRIGGERS)


def downgrade() -> None:
    _exchange(_TRIGGERS, _OLD_TRIGGERS)
    _make_live_index(_LIVE)
    op.create_index("ix_queue_worker_id", "queue", ["worker_id"])
    op.drop_index("ix_queue_type_order", "queue")
    op.drop_column("queue", "task_type")


def _make_live_index(where: sa.TextClause) -> None:
    op.drop_index("ix_jobs_live", "jobs")
    op.create_index("ix_jobs_live", "jobs", ["media_store_id", "task_type"], sqlite_where=where, postgresql_where=where)


def _exchange(old: dict[str, str], new: dict[str, str]) -> None:
    for name in old:
        op.execute(f"DROP TRIGGER {name}")
    for name, what in new.items():
        op.execute(f"CREATE TRIGGER {name} {what}")
