"""What must hold between the tables. Each rule finds the rows that break it, and mends them.

A look at the tables is one consistent view, so a row that breaks a rule is never a job in the middle of something.
Mending takes the write lock and looks again first: what has changed meanwhile is left alone.
"""

from collections.abc import Collection, Iterator, Sequence

import sqlalchemy as sa

from media_inference.jobs.job import JobStatus
from media_inference.queue import sync
from media_inference.queue.clock import Clock, wall_clock
from media_inference.queue.engine import reading, writing
from media_inference.queue.event_rules import EVENT_RULES
from media_inference.queue.inventory import is_settled
from media_inference.queue.repairs import begin_another_life, complete, publish_again, run_again
from media_inference.queue.rule import Id, Rule
from media_inference.queue.tables import collections, embedding_sets, embeddings, jobs, outbox, queue
from media_inference.queue.tables import media_store_sync_status as reports
from media_inference.queue.tallies import TALLY_RULE

_AT_ONCE = 500


class Rules:
    """The rules on one database. ``uploads``: results are reported to the media store.

    ``of_events``: how events agree with the jobs; mend the jobs first, for what is done to them is told.
    """

    def __init__(self, engine: sa.Engine, clock: Clock = wall_clock, *, uploads: bool = False) -> None:
        self._engine = engine
        self._clock = clock
        self.of_jobs = (*_RULES, _REPORT_MISSING, TALLY_RULE) if uploads else (*_RULES, TALLY_RULE)
        self.of_events = EVENT_RULES

    def broken(self, rule: Rule) -> Iterator[Sequence[Id]]:
        """The rows that break a rule, in pages by id."""
        (column,) = rule.broken.selected_columns
        query, after = rule.broken.order_by(column).limit(_AT_ONCE), None
        while True:
            with reading(self._engine) as tx:
                page = tx.scalars(query if after is None else query.where(column > after)).all()
            if not page:
                return
            yield page
            after = page[-1]

    def mend(self, rule: Rule, ids: Collection[Id]) -> None:
        """Mends those of the rows that still break the rule."""
        (column,) = rule.broken.selected_columns
        with writing(self._engine) as tx:
            still = tx.scalars(rule.broken.where(column.in_(ids))).all()
            if still and rule.mend is not None:
                rule.mend(tx, still, self._clock())


def _drop_queue_rows(tx: sa.Connection, ids: Sequence[Id], _now: int) -> None:
    tx.execute(queue.delete().where(queue.c.job_id.in_(ids)))


def _drop_sets(tx: sa.Connection, ids: Sequence[Id], _now: int) -> None:
    tx.execute(embedding_sets.delete().where(embedding_sets.c.set_id.in_(ids)))


def _drop_entries(tx: sa.Connection, ids: Sequence[Id], _now: int) -> None:
    tx.execute(outbox.delete().where(outbox.c.entry_id.in_(ids)))


def _drop_reports(tx: sa.Connection, ids: Sequence[Id], _now: int) -> None:
    tx.execute(reports.delete().where(reports.c.job_id.in_(ids)))


def _drop_embeddings(tx: sa.Connection, ids: Sequence[Id], _now: int) -> None:
    tx.execute(embeddings.delete().where(embeddings.c.set_id.in_(ids)))


def _publish_first(tx: sa.Connection, ids: Sequence[Id], now: int) -> None:
    sets = sa.select(embedding_sets.c.set_id).where(embedding_sets.c.job_id.in_(ids), _UNPUBLISHED)
    tx.execute(jobs.update().where(jobs.c.job_id.in_(ids)).values(status=JobStatus.PROCESSING, completed_at=None))
    publish_again(tx, tx.scalars(sets).all(), now)
    begin_another_life(tx, ids, now)


def _enter_collections(tx: sa.Connection, ids: Sequence[Id], now: int) -> None:
    found = sa.select(embedding_sets.c.collection, sa.func.min(embedding_sets.c.model), sa.literal(now))
    found = found.where(embedding_sets.c.collection.in_(ids)).group_by(embedding_sets.c.collection)
    tx.execute(collections.insert().from_select(["name", "model", "created_at"], found))


def _report(tx: sa.Connection, ids: Sequence[Id], now: int) -> None:
    items = sa.select(*jobs.c["job_id", "media_store_id"]).where(jobs.c.job_id.in_(ids))
    sync.add_uploads(tx, {row.job_id: row.media_store_id for row in tx.execute(items)}, now)


_WORKED_ON = sa.exists().where(queue.c.job_id == jobs.c.job_id)
_ALIVE = jobs.c.status.in_([JobStatus.PENDING, JobStatus.PROCESSING])
_UNPUBLISHED = embedding_sets.c.published_at.is_(None)
_HAS_UNPUBLISHED_SET = jobs.c.job_id.in_(sa.select(embedding_sets.c.job_id).where(_UNPUBLISHED))
_IN_OUTBOX = sa.exists().where(outbox.c.set_id == embedding_sets.c.set_id)
_other = embedding_sets.alias("other")

_RULES = (
    Rule(
        "queue_row_without_job",
        sa.select(queue.c.job_id).where(queue.c.job_id.not_in(sa.select(jobs.c.job_id))),
        "in the queue, but there is no such job",
        "taken out of the queue",
        _drop_queue_rows,
    ),
    Rule(
        "queue_row_of_finished_job",
        sa.select(jobs.c.job_id).where(_WORKED_ON, ~_ALIVE),
        "finished, but still in the queue",
        "taken out of the queue",
        _drop_queue_rows,
    ),
    Rule(
        "outbox_row_without_set",
        sa.select(outbox.c.entry_id).where(outbox.c.set_id.not_in(sa.select(embedding_sets.c.set_id))),
        "an entry of the outbox whose embedding set is gone",
        "deleted",
        _drop_entries,
    ),
    Rule(
        "report_without_job",
        sa.select(reports.c.job_id).where(reports.c.job_id.not_in(sa.select(jobs.c.job_id))),
        "a report to the media store whose job is gone",
        "deleted",
        _drop_reports,
    ),
    Rule(
        "embeddings_without_set",
        sa.select(embeddings.c.set_id).where(embeddings.c.set_id.not_in(sa.select(embedding_sets.c.set_id))).distinct(),
        "embeddings whose set is gone",
        "deleted",
        _drop_embeddings,
    ),
    Rule(
        "collection_unknown",
        sa.select(embedding_sets.c.collection)
        .where(embedding_sets.c.collection.not_in(sa.select(collections.c.name)))
        .distinct(),
        "a collection that has embedding sets, but no model on record",
        "the model of its sets is put on record",
        _enter_collections,
    ),
    Rule(
        "set_of_another_model",
        sa.select(embedding_sets.c.set_id)
        .join(collections, collections.c.name == embedding_sets.c.collection)
        .where(collections.c.model != embedding_sets.c.model),
        "an embedding set of another model than its collection holds",
    ),
    Rule(
        "set_replaced",
        sa.select(embedding_sets.c.set_id).where(
            ~_UNPUBLISHED,
            ~_IN_OUTBOX,
            sa.exists().where(
                _other.c.collection == embedding_sets.c.collection,
                _other.c.media_store_id == embedding_sets.c.media_store_id,
                _other.c.set_id > embedding_sets.c.set_id,
                _other.c.published_at.is_not(None),
            ),
        ),
        "an embedding set kept although a newer one of its media item is published",
        "deleted",
        _drop_sets,
    ),
    Rule(
        "set_not_in_outbox",
        sa.select(embedding_sets.c.set_id).where(_UNPUBLISHED, ~_IN_OUTBOX),
        "an embedding set that is neither published nor in the outbox",
        "put into the outbox; the publisher stores it",
        publish_again,
    ),
    Rule(
        "job_completed_too_early",
        sa.select(jobs.c.job_id).where(jobs.c.status == JobStatus.COMPLETED, _HAS_UNPUBLISHED_SET),
        "completed before its vectors were published",
        "processing again, and completed when they are",
        _publish_first,
    ),
    Rule(
        "job_lost",
        sa.select(jobs.c.job_id).where(
            _ALIVE, ~_WORKED_ON, ~_HAS_UNPUBLISHED_SET, jobs.c.result.is_(None) | (jobs.c.status == JobStatus.PENDING)
        ),
        "waits for work, but is not in the queue",
        "put back into the queue",
        run_again,
    ),
    Rule(
        "job_not_completed",
        sa.select(jobs.c.job_id).where(jobs.c.status == JobStatus.PROCESSING, is_settled(), ~_HAS_UNPUBLISHED_SET),
        "has a result with nothing left to publish, but is not completed",
        "completed",
        complete,
    ),
    Rule(
        "job_without_result",
        sa.select(jobs.c.job_id).where(
            jobs.c.status == JobStatus.COMPLETED, jobs.c.result.is_(None), ~_WORKED_ON, ~_HAS_UNPUBLISHED_SET
        ),
        "completed without a result",
        "run again",
        run_again,
    ),
)

_REPORT_MISSING = Rule(
    "report_missing",
    sa.select(jobs.c.job_id).where(
        jobs.c.status == JobStatus.COMPLETED,
        jobs.c.result.is_not(None),
        jobs.c.job_id.not_in(sa.select(reports.c.job_id)),
    ),
    "completed, but no report to the media store is on record",
    "reported to the media store",
    _report,
)
