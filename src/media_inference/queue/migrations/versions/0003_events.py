"""job events"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_rising_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# Jobs that are under way get the event that they would have, so that their story is whole.
_QUEUED = """
INSERT INTO events (job_id, type, at, data)
SELECT job_id, 'queued', created_at,
       json_object('task_type', task_type, 'media_store_id', media_store_id, 'priority', priority)
FROM jobs WHERE status IN ('pending', 'processing') ORDER BY created_at
"""


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("event_id", _rising_id, autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_job_id", "events", ["job_id"])
    op.execute(_QUEUED)


def downgrade() -> None:
    op.drop_table("events")
