"""Compares everything that is kept, and mends it."""

import sys
import time
from contextlib import ExitStack
from functools import partial

import sqlalchemy as sa
from rich.table import Table

from media_inference.artifacts.local_store import LocalStore
from media_inference.artifacts.shelf import Shelf
from media_inference.audit.files import FileCheck
from media_inference.audit.finding import Check
from media_inference.audit.leftovers import LeftoverCheck
from media_inference.audit.point_mending import DirectMending, OutboxMending, PointMending
from media_inference.audit.points import PointCheck
from media_inference.audit.report import MOST_SHOWN, Report, audit
from media_inference.audit.tables import check_events, check_tables
from media_inference.errors import CannotStart, DatabaseUnavailable, StoreInUse, TransientError
from media_inference.processes.console import wide_console
from media_inference.processes.database import open_database
from media_inference.processes.publishing import PublishedElsewhere, sole_publisher
from media_inference.processes.rooms import database_file
from media_inference.processes.vectors import open_vectors
from media_inference.queue.inventory import Inventory
from media_inference.queue.repairs import Repairs
from media_inference.queue.rules import Rules
from media_inference.settings import Settings
from media_inference.tasks.catalog import TASKS
from media_inference.vectors.store import VectorStore

_BETWEEN_LOOKS = 3.0
"""Seconds in which a job that is being deleted has lost its files."""


def run_audit(settings: Settings, *, fix: bool, with_vectors: bool) -> Report:
    """Looks at everything, vectors only when they are wanted. Raises `CannotStart` when it can't look."""
    with ExitStack() as cleanup:
        engine = open_database(settings, migrate=False)
        cleanup.callback(engine.dispose)
        vectors = _open_vectors(settings, cleanup) if with_vectors else None
        alone = _is_alone(engine, cleanup) if fix else True
        checks = _checks(settings, engine, vectors, alone=alone)
        try:
            return audit(checks, fix=fix, on_check=lambda name: _say(f"looking at {name}"))
        except (DatabaseUnavailable, TransientError) as error:
            raise CannotStart(f"the audit could not look at everything: {error}") from error


def print_report(report: Report) -> None:
    """A table on stdout, one line in all on stderr."""
    table = Table(box=None, pad_edge=False)
    for heading in ("kind", "id", "what", "--fix"):
        table.add_column(heading, overflow="fold")
    for finding in report.shown:
        table.add_row(finding.kind, finding.id, finding.what, finding.remedy or "can't mend it")
    for kind, count in report.found.items():
        if count > MOST_SHOWN:
            table.add_row(kind, "…", f"and {count - MOST_SHOWN} more", "")
    if report.found:
        wide_console().print(table)
    _say(f"found {report.found.total()}, mended {report.mended.total()}, left {report.left}")


def _checks(settings: Settings, engine: sa.Engine, vectors: VectorStore | None, *, alone: bool) -> dict[str, Check]:
    inventory, repairs = Inventory(engine), Repairs(engine)
    rules = Rules(engine, uploads=settings.media_is_remote)
    shelf = Shelf(settings.storage_dir)
    promises = {task.type: task.files for task in TASKS.values() if task.files is not None}
    checks: dict[str, Check] = {
        "the tables": partial(check_tables, rules),
        "the files": FileCheck(inventory, shelf, promises, repairs),
        "what was left behind": LeftoverCheck(
            inventory, shelf, LocalStore(settings.storage_dir), lambda: time.sleep(_BETWEEN_LOOKS)
        ),
    }
    if vectors is not None:
        mending: PointMending = DirectMending(vectors) if alone else OutboxMending(vectors, inventory, repairs)
        checks["the vectors"] = PointCheck(inventory, vectors, mending, repairs)
    checks["the events"] = partial(check_events, rules)
    return checks


def _open_vectors(settings: Settings, cleanup: ExitStack) -> VectorStore:
    try:
        vectors = open_vectors(settings)
    except StoreInUse:
        raise CannotStart(
            "the service is running and alone may open its embedded vectors: stop it and audit again, "
            "or leave them out with --without-vectors"
        ) from None
    cleanup.callback(vectors.close)
    return vectors


def _is_alone(engine: sa.Engine, cleanup: ExitStack) -> bool:
    """Whether no service publishes; then none can begin to before the audit is over."""
    try:
        cleanup.enter_context(sole_publisher(database_file(engine)))
    except PublishedElsewhere:
        return False
    return True


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201  # progress
