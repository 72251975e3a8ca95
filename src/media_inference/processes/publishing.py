"""Who may publish: one process per database, or an older outcome could overtake a newer one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from media_inference.errors import CannotStart
from media_inference.file_lock import hold


class PublishedElsewhere(CannotStart):
    """Another process publishes from this database."""


@contextmanager
def sole_publisher(database: Path) -> Iterator[None]:
    """Keeps every other publisher of this database file out until the block ends. Raises `CannotStart`."""
    try:
        file = database.resolve()  # SQLite follows links too: two names of one database have one publisher
        descriptor = hold(file.with_name(f"{file.name}.publisher"))
    except BlockingIOError:
        raise PublishedElsewhere(
            f"the database {database} is in use by another process that publishes from it: stop that one, "
            "or use another DATABASE_DIR"
        ) from None
    except OSError as error:
        raise CannotStart(f"the folder of the database {database} can't be written: {error.strerror}") from error
    try:
        yield
    finally:
        os.close(descriptor)
