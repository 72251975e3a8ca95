"""tallies.value may be NULL, triggers end with OR FAIL: SQLite need not copy pages to take back a statement alone"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'tally!_%' ESCAPE '!'"
_WORDS = {"INSERT INTO tallies": "INSERT OR FAIL INTO tallies", "UPDATE tallies": "UPDATE OR FAIL tallies"}


def upgrade() -> None:
    _make_anew(_WORDS, nullable=True)


def downgrade() -> None:
    _make_anew({new: old for old, new in _WORDS.items()}, nullable=False)


def _make_anew(words: dict[str, str], *, nullable: bool) -> None:
    """The table and its triggers, which are away meanwhile: one that names a missing table can't be renamed around."""
    triggers = op.get_bind().exec_driver_sql(_TRIGGERS).all()
    for name, _ in triggers:
        op.execute(f"DROP TRIGGER {name}")
    op.create_table(
        "tallies_anew",
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=nullable),
        sa.PrimaryKeyConstraint("name", name="pk_tallies"),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO tallies_anew (name, value) SELECT name, value FROM tallies")
    op.drop_table("tallies")
    op.rename_table("tallies_anew", "tallies")
    for _, trigger in triggers:
        made = trigger
        for old, new in words.items():
            made = made.replace(old, new)
        op.get_bind().exec_driver_sql(made)
