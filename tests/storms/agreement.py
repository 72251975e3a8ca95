"""Whether a database agrees with itself: what every committed state of it must show, whatever was lost after it."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator

import sqlalchemy as sa

from media_inference.jobs.job import JobStatus
from media_inference.queue.tables import embedding_sets, embeddings, events, jobs, outbox, queue
from media_inference.vectors.store import FACES, IMAGE_EMBEDDINGS
from tests.storms.end_state import Row, damage_of, rows_of
from tests.storms.history import read_book

_COLLECTIONS = {"image_embedding": IMAGE_EMBEDDINGS, "face_embedding": FACES}
_LIVE = {JobStatus.PENDING, JobStatus.PROCESSING}


def disagreements(tx: sa.Connection, files: Collection[str]) -> Iterator[str]:
    """One line for each. ``files``: the ids of the jobs that had a folder of files at that moment."""
    yield from damage_of(tx)
    known = {row["job_id"]: row for row in rows_of(tx, jobs)}
    queued = {row["job_id"]: row for row in rows_of(tx, queue)}
    sets = {row["set_id"]: row for row in rows_of(tx, embedding_sets)}
    waiting = [sets[row["set_id"]] for row in rows_of(tx, outbox)]
    for job_id in queued.keys() - known.keys():
        yield f"the queue has {job_id}, which is no job"
    for row in known.values():
        yield from _of_job(
            row, queued.get(row["job_id"]), [entry for entry in waiting if entry["job_id"] == row["job_id"]]
        )
    yield from _of_sets(tx, known, sets, waiting)
    yield from _of_files(known, files)
    yield from _of_history(tx, known)
    yield from _of_events(tx, known)


def _of_job(row: Row, queued: Row | None, waiting: list[Row]) -> Iterator[str]:
    job_id, status = row["job_id"], row["status"]
    if (status in _LIVE) != (queued is not None or bool(waiting)) or (queued is not None and waiting):
        yield f"{job_id} is {status}, queued: {queued is not None}, in the outbox: {bool(waiting)}"
    if queued is not None and (status == JobStatus.PROCESSING) != (queued["lease_token"] is not None):
        yield f"{job_id} is {status}, and its lease says otherwise"
    if (row["result"] is not None) != (status == JobStatus.COMPLETED or bool(waiting)):
        yield f"{job_id} is {status}, with a result: {row['result'] is not None}"
    if (row["error_code"] is not None) and status == JobStatus.COMPLETED:
        yield f"{job_id} is completed, with an error"
    if status == JobStatus.FAILED and row["error_code"] is None:
        yield f"{job_id} is failed, without a reason"


def _of_sets(tx: sa.Connection, known: dict[str, Row], sets: dict[int, Row], waiting: list[Row]) -> Iterator[str]:
    """Every accepted outcome with vectors has its set, whole, and published or in the outbox."""
    vectors = Counter(row["set_id"] for row in rows_of(tx, embeddings))
    published = {(row["collection"], row["media_store_id"]) for row in sets.values() if row["published_at"]}
    for row in sets.values():
        is_published = row["published_at"] is not None
        if is_published == (row in waiting):
            yield f"the set of {row['job_id']} is published: {is_published}, and waits: {row in waiting}"
        result = known.get(row["job_id"], {}).get("result")
        if result is not None and vectors[row["set_id"]] != len(result.get("faces", [None])):
            yield f"the set of {row['job_id']} has {vectors[row['set_id']]} vectors, its result another number"
    for row in known.values():
        key = _COLLECTIONS.get(row["task_type"]), row["media_store_id"]
        if row["status"] == JobStatus.COMPLETED and key[0] and key not in published:
            yield f"{row['job_id']} is completed, and nothing of it is published"


def _of_files(known: dict[str, Row], files: Collection[str]) -> Iterator[str]:
    for row in known.values():
        if row["status"] == JobStatus.COMPLETED and row["artifact_files"] and row["job_id"] not in files:
            yield f"{row['job_id']} is completed, and its files are not there"


def _of_history(tx: sa.Connection, known: dict[str, Row]) -> Iterator[str]:
    """The judge's own book tells of the same jobs, in the same state."""
    turns: dict[str, Counter[str]] = defaultdict(Counter)
    for turn in read_book(tx):
        turns[turn.job_id][turn.what] += 1
    there = {job_id for job_id, of_job in turns.items() if not of_job["deleted"]}
    for job_id in there ^ known.keys():
        yield f"{job_id} is in one of jobs and history, not in the other"
    for job_id in there & known.keys():
        for ending in (JobStatus.COMPLETED, JobStatus.FAILED):
            if turns[job_id][ending] != (known[job_id]["status"] == ending):
                yield f"{job_id} is {known[job_id]['status']}, and was {ending} {turns[job_id][ending]} times"


def _of_events(tx: sa.Connection, known: dict[str, Row]) -> Iterator[str]:
    """Of every job, the events tell what its row does: queued once, started for each attempt, ended as it did."""
    told: dict[str, Counter[str]] = defaultdict(Counter)
    for job_id, kind in tx.execute(sa.select(events.c.job_id, events.c.type)):
        told[job_id][kind] += 1
    for job_id, row in known.items():
        wanted = {"queued": 1, "deleted": 0} | {end: int(row["status"] == end) for end in ("completed", "failed")}
        if found := {kind: told[job_id][kind] for kind, times in wanted.items() if told[job_id][kind] != times}:
            yield f"{job_id} is {row['status']}, and its events say {found}"
        if told[job_id]["started"] < row["attempts"]:
            yield f"{job_id} had {row['attempts']} attempts, and its events tell of {told[job_id]['started']}"
    for job_id in told.keys() - known.keys():
        if told[job_id]["deleted"] != 1:
            yield f"{job_id} is gone, and its events tell {told[job_id]['deleted']} times that it was deleted"
