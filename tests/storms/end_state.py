"""What a service left behind: rows, points and files, read without any of its own comparing code."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from qdrant_edge import Distance, EdgeConfig, EdgeShard, EdgeVectorParams

from media_inference.jobs.outcome import PointId
from media_inference.models.kinds import DIMENSION
from media_inference.queue.tables import embedding_sets, events, jobs, media_store_sync_status, outbox, queue
from media_inference.vectors.store import COLLECTIONS, Point
from tests.stands.qdrant_server import scroll
from tests.storms.history import Turn, read_book

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EndState:
    """All that is durable once every process is gone.

    ``points`` is None where the vectors lie elsewhere. ``files``: job_id -> name -> content. ``log``: lines of the
    service's log that are JSON. ``damage``: what SQLite says of the database's own integrity.
    """

    jobs: dict[str, Row]
    queue: list[Row]
    outbox: list[Row]
    sets: list[Row]
    sync: dict[str, Row]
    history: list[Turn]
    events: list[Row]
    points: dict[tuple[str, PointId], Point] | None
    files: dict[str, dict[str, bytes]]
    log: list[Row]
    damage: list[str]


def read_end_state(engine: sa.Engine, data: Path, logs: list[Path]) -> EndState:
    """Reads it. No process of the service may run: one process may open the embedded vector store."""
    with engine.begin() as tx:
        return EndState(
            jobs={row["job_id"]: row for row in rows_of(tx, jobs)},
            queue=rows_of(tx, queue),
            outbox=rows_of(tx, outbox),
            sets=rows_of(tx, embedding_sets),
            sync={row["job_id"]: row for row in rows_of(tx, media_store_sync_status)},
            history=read_book(tx),
            events=sorted(rows_of(tx, events), key=lambda row: int(row["event_id"])),
            points=_points(data / "qdrant"),
            files=_files(data / "inference" / "jobs"),
            log=[line for path in logs for line in _json_lines(path)],
            damage=damage_of(tx),
        )


def charged(end: EndState) -> Iterator[str]:
    """The jobs that paid, with an attempt, a failure or a crash, for what was not their fault."""
    for job_id, row in end.jobs.items():
        if (row["attempts"], row["failures"], row["crashes"]) != (1, 0, 0):
            counts = ", ".join(f"{name} {row[name]}" for name in ("attempts", "failures", "crashes"))
            yield f"{job_id} was charged: {counts}"


def rows_of(tx: sa.Connection, table: sa.Table) -> list[Row]:
    """A whole table."""
    return [dict(row) for row in tx.execute(sa.select(table)).mappings()]


def damage_of(tx: sa.Connection) -> list[str]:
    """What SQLite itself finds wrong with the database."""
    integrity = [str(row[0]) for row in tx.exec_driver_sql("PRAGMA integrity_check") if row[0] != "ok"]
    return integrity + [f"a row of {row[0]} names nobody" for row in tx.exec_driver_sql("PRAGMA foreign_key_check")]


def _points(folder: Path) -> dict[tuple[str, PointId], Point] | None:
    if not folder.is_dir():
        return None
    return {(name, point.id): point for name in COLLECTIONS for point in _points_in(folder / name)}


def _points_in(folder: Path) -> Iterator[Point]:
    config = EdgeConfig(vectors=EdgeVectorParams(size=DIMENSION, distance=Distance.Cosine), wal_enabled=True)
    shard = EdgeShard.load(str(folder), config)
    try:
        yield from scroll(shard)
    finally:
        shard.close()


def _files(folder: Path) -> dict[str, dict[str, bytes]]:
    """Those in the jobs' folders; what was staged lies out of sight, in a folder that begins with a dot."""
    return {
        job.name: {str(path.relative_to(job)): path.read_bytes() for path in job.rglob("*") if path.is_file()}
        for job in folder.glob("[!.]*")
    }


def _json_lines(path: Path) -> Iterator[Row]:
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:  # two processes wrote at once, or one died while it did
                continue
