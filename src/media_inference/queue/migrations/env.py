"""Run by Alembic, both from `media_inference.queue.migrate` and from ``alembic upgrade head`` in the project's root."""

from alembic import context

from media_inference.queue.engine import open_engine
from media_inference.queue.tables import metadata
from media_inference.settings import load_settings


def main() -> None:
    """Migrates over the connection that the caller gave, or else the database of the settings."""
    given = context.config.attributes.get("connection")
    if given is not None:
        _migrate(given)
        return
    settings = load_settings()
    settings.database_dir.mkdir(parents=True, exist_ok=True)
    with open_engine(settings.database_url).connect() as connection:
        _migrate(connection)
        connection.commit()


def _can_be_compared(name: str | None, _kind: str, _parents: object) -> bool:
    """Alembic can't tell whether an index with an expression has changed, and would make it anew each time."""
    return name not in {"ix_queue_claim_order", "ix_queue_type_order"}


def _migrate(connection: object) -> None:
    context.configure(
        connection=connection,  # type: ignore[arg-type]  # Alembic's attributes are untyped
        target_metadata=metadata,
        render_as_batch=True,
        include_name=_can_be_compared,
    )
    with context.begin_transaction():
        context.run_migrations()


main()
