"""The judge's own book: triggers in the service's database note every turn of a job, in the transaction that makes it.

The product does not know of it. What it notes can't be lost, doubled or put in another order without the jobs being so.
"""

from dataclasses import dataclass

import sqlalchemy as sa

_BOOK = """
CREATE TABLE storm_history (
    turn INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL, what TEXT NOT NULL, attempt INTEGER
)
"""

_TRIGGERS = {
    "submitted": "AFTER INSERT ON jobs BEGIN INSERT INTO storm_history VALUES (NULL, NEW.job_id, 'submitted', 0); END",
    "claimed": """AFTER UPDATE OF lease_token ON queue WHEN NEW.lease_token IS NOT NULL BEGIN
        INSERT INTO storm_history SELECT NULL, job_id, 'claimed', attempts + 1 FROM jobs WHERE job_id = NEW.job_id;
        END""",
    "ended": """AFTER DELETE ON queue WHEN EXISTS (SELECT 1 FROM jobs WHERE job_id = OLD.job_id) BEGIN
        INSERT INTO storm_history SELECT NULL, job_id, 'ended', attempts FROM jobs WHERE job_id = OLD.job_id; END""",
    "accepted": """AFTER INSERT ON embedding_sets BEGIN
        INSERT INTO storm_history SELECT NULL, job_id, 'accepted', attempts FROM jobs WHERE job_id = NEW.job_id; END""",
    "completed": """AFTER UPDATE OF status ON jobs WHEN NEW.status = 'completed' BEGIN
        INSERT INTO storm_history VALUES (NULL, NEW.job_id, 'completed', NEW.attempts); END""",
    "failed": """AFTER UPDATE OF status ON jobs WHEN NEW.status = 'failed' BEGIN
        INSERT INTO storm_history VALUES (NULL, NEW.job_id, 'failed', NEW.attempts); END""",
    "deleted": "AFTER DELETE ON jobs BEGIN INSERT INTO storm_history VALUES (NULL, OLD.job_id, 'deleted', 0); END",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that happened to a job. ``attempt``: as the job counted them then."""

    job_id: str
    what: str
    attempt: int | None


def open_book(engine: sa.Engine) -> None:
    """Begins to write; once per database."""
    with engine.begin() as tx:
        if not sa.inspect(tx).has_table("storm_history"):
            tx.exec_driver_sql(_BOOK)
            for name, body in _TRIGGERS.items():
                tx.exec_driver_sql(f"CREATE TRIGGER storm_{name} {body}")


def read_book(tx: sa.Connection) -> list[Turn]:
    """All turns, in the order in which they were committed."""
    rows = tx.execute(sa.text("SELECT job_id, what, attempt FROM storm_history ORDER BY turn"))
    return [Turn(*row) for row in rows]
