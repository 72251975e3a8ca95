"""Outcomes -> what is true of their jobs, all in the one settling transaction.

First it is decided, outcome by outcome and in their order, which are accepted: the claim must hold, the collection must
hold vectors of the same model, and the files must find their place. Then all that was accepted is written, with one
statement for each table, so an outcome that is refused takes nothing from the others.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from media_inference.errors import ErrorCode, JobError, PermanentError
from media_inference.failpoints import Failpoint, failpoint
from media_inference.jobs.event import EventType
from media_inference.jobs.job import Claim, JobStatus
from media_inference.jobs.outcome import EmbeddingSet
from media_inference.queue import outbox, sync
from media_inference.queue.changes import Settlement
from media_inference.queue.counters import CounterName, count_one
from media_inference.queue.driver import Value, as_json, fetch, marks, run_many
from media_inference.queue.events import add_attempt_events
from media_inference.queue.tables import collections

_COMPLETED, _PROCESSING = JobStatus.COMPLETED.value, JobStatus.PROCESSING.value
_HELD = "SELECT lease_token FROM queue WHERE lease_token IN ({tokens})"
_LEAVE = "DELETE FROM queue WHERE lease_token IN ({tokens})"
_MODELS = "SELECT name, model FROM collections"
# "OR FAIL": see `driver`.
_ACCEPT = """
UPDATE OR FAIL jobs SET result = ?, model = ?, status = ?, completed_at = ?, artifact_files = ?, artifact_bytes = ?,
    error_code = NULL, error_message = NULL, error_retryable = NULL
WHERE job_id = ?
"""


def tokens_held(tx: sa.Connection, claims: Sequence[Claim]) -> set[str]:
    """The lease tokens of the claims that still hold; they do until the transaction ends."""
    tokens = [claim.lease_token for claim in claims]
    return {token for (token,) in fetch(tx, _HELD.format(tokens=marks(tokens)), tokens)}


class Settling:
    """One settling transaction. ``uploads``: the media store wants results."""

    def __init__(self, tx: sa.Connection, now: int, *, uploads: bool) -> None:
        self._tx = tx
        self._now = now
        self._uploads = uploads
        self._held: set[str] = set()
        self._models: dict[str, str] = {}
        self._accepted: list[Settlement] = []

    def settle(self, settlements: Sequence[Settlement]) -> list[bool | JobError]:
        """Whether each outcome was accepted, or why it can't be; False: its claim does not hold any more."""
        self._held = tokens_held(self._tx, [settlement.claim for settlement in settlements])
        if any(settlement.findings.embedding_set for settlement in settlements):
            self._models = dict(fetch(self._tx, _MODELS))
        endings = [self._decide(settlement) for settlement in settlements]
        if self._accepted:
            self._write()
        return endings

    def _decide(self, settlement: Settlement) -> bool | JobError:
        claim, found = settlement.claim, settlement.findings.embedding_set
        if claim.lease_token not in self._held:
            count_one(self._tx, CounterName.ATTEMPTS_DROPPED)
            return False
        try:
            _require_model(self._models, found)
            failpoint(Failpoint.SETTLE_BEFORE_PROMOTE, claim.media_store_id)
            settlement.promote_files()
            failpoint(Failpoint.SETTLE_AFTER_PROMOTE, claim.media_store_id)
        except JobError as error:
            return error
        self._held.discard(claim.lease_token)
        self._accepted.append(settlement)
        if found is not None and found.collection not in self._models:
            self._models[found.collection] = found.model
            self._tx.execute(
                collections.insert().values(name=found.collection, model=found.model, created_at=self._now)
            )
        return True

    def _write(self) -> None:
        claims = [settlement.claim for settlement in self._accepted]
        tokens = [claim.lease_token for claim in claims]
        fetch(self._tx, _LEAVE.format(tokens=marks(tokens)), tokens)
        outbox.add_embedding_sets(self._tx, self._accepted, self._now)
        if self._uploads:
            sync.add_uploads(self._tx, {claim.job_id: claim.media_store_id for claim in claims}, self._now)
        run_many(self._tx, _ACCEPT, [_values(settlement, self._now) for settlement in self._accepted])
        completed = [each.claim for each in self._accepted if each.findings.embedding_set is None]
        add_attempt_events(self._tx, EventType.COMPLETED, completed, self._now)


def _values(settlement: Settlement, now: int) -> Sequence[Value]:
    """A job is completed at once when nothing has to be published."""
    findings = settlement.findings
    completed = findings.embedding_set is None
    return (
        as_json(findings.result),
        findings.model,
        _COMPLETED if completed else _PROCESSING,
        now if completed else None,
        len(findings.artifacts),
        sum([len(artifact.content) for artifact in findings.artifacts]),
        settlement.claim.job_id,
    )


def _require_model(models: dict[str, str], found: EmbeddingSet | None) -> None:
    """A collection holds vectors of one model: the first one that is accepted."""
    if found is not None and models.get(found.collection, found.model) != found.model:
        held = models[found.collection]
        message = f"the collection {found.collection} holds vectors of {held}, this worker runs {found.model}"
        raise PermanentError(ErrorCode.MODEL_UNAVAILABLE, message)
