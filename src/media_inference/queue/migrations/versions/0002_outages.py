"""outages, and the model of a result"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outages",
        sa.Column("dependency", sa.String(length=64), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dependency", name="pk_outages"),
    )
    op.add_column("jobs", sa.Column("model", sa.String(length=128)))


def downgrade() -> None:
    op.drop_column("jobs", "model")
    op.drop_table("outages")
