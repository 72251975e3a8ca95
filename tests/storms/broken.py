"""Broken builds: each takes one guard out of the service, and one storm must see it.

``make storms BROKEN=no_fence`` tries the storms on it, and must come out red. The hook makes the patch at the start
of each process of the service; the product has no switch for it.
"""

import dataclasses
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.storms import broken_promises as promises
from tests.storms.patch import replace


@dataclass(frozen=True, slots=True)
class BrokenBuild:
    """``without``: the guard that is missing. ``storm``: the one that must see it. ``apply`` patches this process."""

    without: str
    storm: str
    apply: Callable[[], None]


def _no_fence() -> None:
    import sqlalchemy as sa

    from media_inference.queue import changes, settling
    from media_inference.queue.tables import queue

    def whoever_comes(tx: sa.Connection, claims: Sequence[Any]) -> set[str]:
        there = set(tx.scalars(sa.select(queue.c.job_id)))
        return {claim.lease_token for claim in claims if claim.job_id in there}

    replace(changes, "held", lambda claim: queue.c.job_id == claim.job_id)
    replace(settling, "tokens_held", whoever_comes)


def _settle_without_a_claim() -> None:
    from media_inference.queue import settling

    replace(settling, "tokens_held", lambda _tx, claims: {claim.lease_token for claim in claims})


def _uncounted_crash() -> None:
    from media_inference.queue.job_queue import JobQueue

    replace(JobQueue, "charge_worker", JobQueue.release_worker)


def _charged_release() -> None:
    from media_inference.queue.job_queue import JobQueue

    replace(JobQueue, "release_worker", JobQueue.charge_worker)


def _answer_before_the_commit() -> None:
    from media_inference.queue.job_queue import JobQueue
    from media_inference.queue.submission import Answer, Origin, Submission, Wanted

    submit_all = JobQueue.submit_all

    def answer_first(self: JobQueue, wanted: Sequence[Wanted]) -> list[Answer]:
        threading.Timer(0.1, submit_all, (self, wanted)).start()
        return [Submission(one.job(0), Origin.NEW) for one in wanted]

    replace(JobQueue, "submit_all", answer_first)


def _files_after_the_commit() -> None:
    from media_inference.queue.changes import Settlement
    from media_inference.queue.job_queue import JobQueue

    settle_some, settle_and_claim = JobQueue.settle_some, JobQueue.settle_and_claim

    def later(settlements: Sequence[Settlement]) -> list[Settlement]:
        return [dataclasses.replace(one, promote_files=lambda: None) for one in settlements]

    def promote(settlements: Sequence[Settlement], endings: Sequence[Any]) -> None:
        for settlement, ending in zip(settlements, endings, strict=True):
            if ending is True:
                settlement.promote_files()

    def settle_first(self: JobQueue, settlements: Sequence[Settlement]) -> list[Any]:
        endings = settle_some(self, later(settlements))
        promote(settlements, endings)
        return endings

    def settle_and_claim_first(self: JobQueue, settlements: Sequence[Settlement], *claiming: Any) -> Any:
        endings, claims = settle_and_claim(self, later(settlements), *claiming)
        promote(settlements, endings)
        return endings, claims

    replace(JobQueue, "settle_some", settle_first)
    replace(JobQueue, "settle_and_claim", settle_and_claim_first)


def _acknowledge_before_the_upsert() -> None:
    from media_inference.publisher.vectors import VectorPublisher

    publish = VectorPublisher._publish

    def acknowledge_first(self: VectorPublisher, entries: Sequence[Any]) -> int:
        first = entries[:1]
        publications = self.outbox.publications(first)
        self.outbox.acknowledge(*first)
        unacknowledged = _Stub(publications=lambda _: publications, acknowledge=lambda *_: None)
        return publish(VectorPublisher(unacknowledged, self.vectors), first)  # type: ignore[arg-type]  # all it is asked for

    replace(VectorPublisher, "_publish", acknowledge_first)


def _stale_points_stay() -> None:
    from media_inference.vectors.edge_store import EdgeStore

    replace(EdgeStore, "delete", lambda *_: None)


def _report_noted_before_it_is_sent() -> None:
    from media_inference.publisher.uploads import UploadPublisher

    publish = UploadPublisher._publish

    def note_first(self: UploadPublisher, upload: Any) -> None:
        self.sync.synced(upload)
        publish(self, upload)

    replace(UploadPublisher, "_publish", note_first)


def _commit_early() -> None:
    from media_inference.queue import driver, intake

    run = driver.fetch

    def commit_after(tx: Any, statement: str, *parameters: Any) -> Any:
        rows = run(tx, statement, *parameters)
        if statement == intake._ADD_JOBS:
            run(tx, "COMMIT")
            run(tx, "BEGIN IMMEDIATE")
        return rows

    replace(intake, "fetch", commit_after)


def _synchronous(level: str) -> None:
    import sqlalchemy as sa

    def set_level(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA synchronous={level}")

    sa.event.listen(sa.Pool, "checkout", set_level)


def _no_busy_timeout() -> None:
    from media_inference.queue import engine

    replace(engine, "BUSY_TIMEOUT_MS", 0)


def _deferred() -> None:
    from media_inference.queue import engine, job_queue

    replace(job_queue, "writing", engine.reading)


def _acknowledge_before_delete() -> None:
    from media_inference.failpoints import Failpoint, failpoint
    from media_inference.publisher.vectors import VectorPublisher
    from media_inference.vectors.store import Point

    def publish(self: VectorPublisher, entries: Sequence[Any]) -> int:
        entry = entries[0]
        (publication,) = self.outbox.publications([entry])
        self.vectors.upsert(entry.collection, [Point(p.point_id, p.vector, p.payload) for p in publication.embeddings])
        self.outbox.acknowledge(entry)
        failpoint(Failpoint.PUBLISH_AFTER_UPSERT, entry.media_store_id)
        self.vectors.delete(entry.collection, publication.stale)
        return 1

    replace(VectorPublisher, "_publish", publish)


def _upsert_not_awaited() -> None:
    from media_inference.vectors.edge_store import EdgeStore

    upsert = EdgeStore.upsert

    def upsert_later(*arguments: Any) -> None:
        timer = threading.Timer(0.3, upsert, arguments)
        timer.daemon = True
        timer.start()

    replace(EdgeStore, "upsert", upsert_later)


def _errors_ignored() -> None:
    from media_inference.errors import TransientError
    from media_inference.publisher.vectors import VectorPublisher

    publish = VectorPublisher._publish

    def publish_or_not(self: VectorPublisher, entries: Sequence[Any]) -> int:
        try:
            return publish(self, entries)
        except TransientError:
            self.outbox.acknowledge(*entries)
            return len(entries)

    replace(VectorPublisher, "_publish", publish_or_not)


class _Stub:
    """Has the methods that it is given."""

    def __init__(self, **methods: Callable[[Any], Any]) -> None:
        vars(self).update(methods)


BROKEN_BUILDS = {
    "no_fence": BrokenBuild("the lease token in the WHERE of what a worker changes", "kill", _no_fence),
    "settle_without_a_claim": BrokenBuild(
        "the look at whether the claim still held before findings are accepted", "kill", _settle_without_a_claim
    ),
    "answer_before_the_commit": BrokenBuild(
        "the commit of a new job before its 201", "matrix", _answer_before_the_commit
    ),
    "files_after_the_commit": BrokenBuild(
        "the rename of the files before the commit that names them", "matrix", _files_after_the_commit
    ),
    "acknowledge_before_the_upsert": BrokenBuild(
        "the order of upsert and acknowledgement", "matrix", _acknowledge_before_the_upsert
    ),
    "stale_points_stay": BrokenBuild("the deletion of the older set's points", "matrix", _stale_points_stay),
    "report_noted_before_it_is_sent": BrokenBuild(
        "the media store's answer before a report counts as sent", "reports", _report_noted_before_it_is_sent
    ),
    "uncounted_crash": BrokenBuild("the count of a job's crashes", "poison", _uncounted_crash),
    "charged_release": BrokenBuild("the difference between being stopped and dying", "drain", _charged_release),
    "commit_early": BrokenBuild("the one transaction of a job and its queue row", "power", _commit_early),
    "synchronous_off": BrokenBuild("any fsync of the database", "fsync-order", partial(_synchronous, "OFF")),
    "synchronous_normal": BrokenBuild("the fsync of each commit", "fsync-order", partial(_synchronous, "NORMAL")),
    "no_busy_timeout": BrokenBuild("the wait for the write lock", "contention", _no_busy_timeout),
    "deferred": BrokenBuild("BEGIN IMMEDIATE of what changes jobs", "contention", _deferred),
    "acknowledge_before_delete": BrokenBuild(
        "the deletion of stale points before the acknowledgement", "reprocess", _acknowledge_before_delete
    ),
    "upsert_not_awaited": BrokenBuild("the wait for the embedded store", "outage", _upsert_not_awaited),
    "errors_ignored": BrokenBuild("the entry that stays when a server fails", "outage-server", _errors_ignored),
    "key_noted_apart": BrokenBuild("the one transaction of a job and its key", "submit", promises.key_noted_apart),
    "live_job_sought_apart": BrokenBuild(
        "the look for a live job inside the transaction of a new one", "submit", promises.live_job_sought_apart
    ),
    "event_beside_its_change": BrokenBuild(
        "the one transaction of a change and its event", "events", promises.event_beside_its_change
    ),
    "last_id_forgotten": BrokenBuild("the place that a reader comes back to", "events", promises.last_id_forgotten),
    "last_id_told_again": BrokenBuild("its exactness", "events", promises.last_id_told_again),
    "log_left_out_of_a_backup": BrokenBuild(
        "the write-ahead log in a copy of the database", "backup", promises.log_left_out_of_a_backup
    ),
    "room_not_asked_for": BrokenBuild(
        "the look for room before a job is accepted", "disk", promises.room_not_asked_for
    ),
    "full_disk_charged": BrokenBuild("the release of a job without room", "disk", promises.full_disk_charged),
    "one_line_for_all": BrokenBuild("the places that reads have to themselves", "overload", promises.one_line_for_all),
}


def break_this_process(name: str) -> None:
    """Makes this process one of a broken build; called by the hook."""
    BROKEN_BUILDS[name].apply()
