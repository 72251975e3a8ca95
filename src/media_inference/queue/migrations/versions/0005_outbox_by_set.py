"""the outbox by set: deleting a set looks for its entries"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_outbox_set_id", "outbox", ["set_id"])


def downgrade() -> None:
    op.drop_index("ix_outbox_set_id", "outbox")
