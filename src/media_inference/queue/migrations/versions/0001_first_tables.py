"""the first tables"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_rising_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "collections",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_collections"),
    )
    op.create_table(
        "embedding_sets",
        sa.Column("set_id", _rising_id, autoincrement=True, nullable=False),
        sa.Column("collection", sa.String(length=64), nullable=False),
        sa.Column("media_store_id", sa.String(length=128), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("published_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("set_id", name="pk_embedding_sets"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_embedding_sets_collection_media_store_id_set_id",
        "embedding_sets",
        ["collection", "media_store_id", "set_id"],
    )
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("task_type", sa.String(length=64), nullable=False),
        sa.Column("media_store_id", sa.String(length=128), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("completed_at", sa.BigInteger()),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("crashes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("releases", sa.Integer(), server_default="0", nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True)),
        sa.Column("error_code", sa.String(length=64)),
        sa.Column("error_message", sa.Text()),
        sa.Column("error_retryable", sa.Boolean()),
        sa.Column("artifact_files", sa.Integer(), server_default="0", nullable=False),
        sa.Column("artifact_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_status_completed_at", "jobs", ["status", "completed_at"])
    op.create_index("ix_jobs_status_task_type", "jobs", ["status", "task_type"])
    op.create_table(
        "workers",
        sa.Column("worker_id", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("worker_id", name="pk_workers"),
    )
    op.create_table(
        "embeddings",
        sa.Column("set_id", _rising_id, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("point_id", sa.JSON(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["set_id"], ["embedding_sets.set_id"], name="fk_embeddings_set_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("set_id", "ordinal", name="pk_embeddings"),
    )
    op.create_table(
        "media_store_sync_status",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("media_store_id", sa.String(length=128), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger()),
        sa.Column("last_error", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("synced_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.job_id"], name="fk_media_store_sync_status_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name="pk_media_store_sync_status"),
    )
    op.create_index(
        "ix_media_store_sync_status_status_next_attempt_at", "media_store_sync_status", ["status", "next_attempt_at"]
    )
    op.create_table(
        "outbox",
        sa.Column("entry_id", _rising_id, autoincrement=True, nullable=False),
        sa.Column("topic", sa.String(length=32), nullable=False),
        sa.Column("set_id", _rising_id, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["set_id"], ["embedding_sets.set_id"], name="fk_outbox_set_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("entry_id", name="pk_outbox"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_topic_entry_id", "outbox", ["topic", "entry_id"])
    op.create_table(
        "queue",
        sa.Column("position", _rising_id, autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("available_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_token", sa.String(length=32)),
        sa.Column("worker_id", sa.String(length=64)),
        sa.Column("lease_beat", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_queue_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("position", name="pk_queue"),
        sa.UniqueConstraint("job_id", name="uq_queue_job_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_queue_lease_token",
        "queue",
        ["lease_token"],
        unique=True,
        sqlite_where=sa.text("lease_token IS NOT NULL"),
        postgresql_where=sa.text("lease_token IS NOT NULL"),
    )
    op.create_index("ix_queue_worker_id", "queue", ["worker_id"])
    op.create_index(
        "ix_queue_claim_order",
        "queue",
        [sa.text("priority DESC"), "position"],
        sqlite_where=sa.text("lease_token IS NULL"),
        postgresql_where=sa.text("lease_token IS NULL"),
    )


def downgrade() -> None:
    for table in (
        "queue",
        "outbox",
        "media_store_sync_status",
        "embeddings",
        "workers",
        "jobs",
        "embedding_sets",
        "collections",
    ):
        op.drop_table(table)
