"""The tables. Times are integer milliseconds since 1970 UTC; ids that rise in commit order are integers.

`jobs`, `queue` and `media_store_sync_status` are the seed's; the others hold what the outside is made from. A row in
`queue` exists while a worker may still work on the job; a row in `outbox` while something must still go outside.
"""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_rising_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("job_id", sa.String(36), primary_key=True),
    sa.Column("task_type", sa.String(64), nullable=False),
    sa.Column("media_store_id", sa.String(128), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("priority", sa.SmallInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("completed_at", sa.BigInteger),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("crashes", sa.Integer, nullable=False, server_default="0"),
    sa.Column("releases", sa.Integer, nullable=False, server_default="0"),
    sa.Column("result", sa.JSON(none_as_null=True)),
    sa.Column("model", sa.String(128)),
    sa.Column("error_code", sa.String(64)),
    sa.Column("error_message", sa.Text),
    sa.Column("error_retryable", sa.Boolean),
    sa.Column("artifact_files", sa.Integer, nullable=False, server_default="0"),
    sa.Column("artifact_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index(
        "ix_jobs_pending",
        "created_at",
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    ),
    sa.Index(
        "ix_jobs_finished",
        "completed_at",
        sqlite_where=sa.text("completed_at IS NOT NULL"),
        postgresql_where=sa.text("completed_at IS NOT NULL"),
    ),
    # By the end and not by the status: a claim changes that, and would write the index anew for nothing.
    sa.Index(
        "ix_jobs_live",
        "media_store_id",
        "task_type",
        sqlite_where=sa.text("completed_at IS NULL"),
        postgresql_where=sa.text("completed_at IS NULL"),
    ),
)

queue = sa.Table(
    "queue",
    metadata,
    sa.Column("position", _rising_id, primary_key=True, autoincrement=True),
    sa.Column("job_id", sa.ForeignKey("jobs.job_id", ondelete="CASCADE"), nullable=False, unique=True),
    sa.Column("priority", sa.SmallInteger, nullable=False),
    sa.Column("available_at", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("lease_token", sa.String(32)),
    sa.Column("worker_id", sa.String(64)),
    sa.Column("lease_beat", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("alone", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("task_type", sa.String(64), nullable=False, server_default=""),
    sa.Index(
        "ix_queue_claim_order",
        sa.text("priority DESC"),
        "position",
        sqlite_where=sa.text("lease_token IS NULL"),
        postgresql_where=sa.text("lease_token IS NULL"),
    ),
    sa.Index(
        "ix_queue_type_order",
        "task_type",
        sa.text("priority DESC"),
        "position",
        sqlite_where=sa.text("lease_token IS NULL"),
        postgresql_where=sa.text("lease_token IS NULL"),
    ),
    # Partial, or SQLite would find the rows without a token by it and sort them. What a worker holds is found by it.
    sa.Index(
        "ix_queue_lease_token",
        "lease_token",
        unique=True,
        sqlite_where=sa.text("lease_token IS NOT NULL"),
        postgresql_where=sa.text("lease_token IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

media_store_sync_status = sa.Table(
    "media_store_sync_status",
    metadata,
    sa.Column("job_id", sa.ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("media_store_id", sa.String(128), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_attempt_at", sa.BigInteger),
    sa.Column("last_error", sa.Text),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("synced_at", sa.BigInteger),
    sa.Index(None, "status", "next_attempt_at"),
)

collections = sa.Table(
    "collections",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

# The vectors of media items, kept for as long as the item counts: they outlive their job, and the vector store can be
# rebuilt from them. The newest published set of an item is what the vector store shows.
embedding_sets = sa.Table(
    "embedding_sets",
    metadata,
    sa.Column("set_id", _rising_id, primary_key=True, autoincrement=True),
    sa.Column("collection", sa.String(64), nullable=False),
    sa.Column("media_store_id", sa.String(128), nullable=False),
    sa.Column("job_id", sa.String(36), nullable=False),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("published_at", sa.BigInteger),
    sa.Index(None, "collection", "media_store_id", "set_id"),
    sqlite_autoincrement=True,
)

embeddings = sa.Table(
    "embeddings",
    metadata,
    sa.Column("set_id", sa.ForeignKey("embedding_sets.set_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("ordinal", sa.Integer, primary_key=True),
    sa.Column("point_id", sa.JSON, nullable=False),
    sa.Column("vector", sa.LargeBinary, nullable=False),
    sa.Column("payload", sa.JSON, nullable=False),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("entry_id", _rising_id, primary_key=True, autoincrement=True),
    sa.Column("topic", sa.String(32), nullable=False),
    sa.Column("set_id", sa.ForeignKey("embedding_sets.set_id", ondelete="CASCADE"), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Index(None, "topic", "entry_id"),
    sa.Index(None, "set_id"),
    sqlite_autoincrement=True,
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("worker_id", sa.String(64), primary_key=True),
    sa.Column("device", sa.String(64), nullable=False),
    sa.Column("models", sa.JSON, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
)

outages = sa.Table(
    "outages",
    metadata,
    sa.Column("dependency", sa.String(64), primary_key=True),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

# How many there are of what; triggers keep them (`queue.tallies`). A value is never NULL, but nothing checks it: if an
# upsert has anything to check, SQLite copies each page that the statement changes, to take back that statement alone.
tallies = sa.Table(
    "tallies",
    metadata,
    sa.Column("name", sa.String(96), primary_key=True),
    sa.Column("value", sa.BigInteger),
    sqlite_with_rowid=False,
)

# What happened to jobs. No foreign key: an event outlives its job.
events = sa.Table(
    "events",
    metadata,
    sa.Column("event_id", _rising_id, primary_key=True, autoincrement=True),
    sa.Column("job_id", sa.String(36), nullable=False),
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Index(None, "job_id"),
    sqlite_autoincrement=True,
)

# No foreign key: a key keeps its answer when the job is gone.
idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("request_hash", sa.String(64), nullable=False),
    sa.Column("job_id", sa.String(36), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Index(None, "created_at"),
)
