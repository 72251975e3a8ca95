"""What must hold between a job and the events that tell of it. A life of a job is its events from a `queued` on.

The newest event of a job says how it stands. Whether one is missing or was trimmed, those that are kept tell: the
oldest go first.
"""

import sqlalchemy as sa

from media_inference.jobs.event import EventType
from media_inference.jobs.job import FINISHED
from media_inference.queue.repairs import tell_anew, tell_endings
from media_inference.queue.rule import Rule
from media_inference.queue.tables import events, jobs

_ENDINGS = (EventType.COMPLETED, EventType.FAILED)

_other = events.alias("other")

_NEWEST = (
    sa.select(_other.c.type).where(_other.c.job_id == jobs.c.job_id).order_by(_other.c.event_id.desc()).limit(1)
).scalar_subquery()
_OLDEST_KEPT_AT = sa.select(_other.c.at).order_by(_other.c.event_id).limit(1).scalar_subquery()
_TURN_BEFORE = (
    sa.select(_other.c.type)
    .where(
        _other.c.job_id == events.c.job_id,
        _other.c.event_id < events.c.event_id,
        _other.c.type.in_([EventType.QUEUED, *_ENDINGS]),
    )
    .order_by(_other.c.event_id.desc())
    .limit(1)
).scalar_subquery()
_FINISHED = jobs.c.status.in_(FINISHED)
_TOLD_ANEW = "told of anew"

EVENT_RULES = (
    Rule(
        "end_not_told",
        sa.select(jobs.c.job_id).where(
            _FINISHED,
            _NEWEST.in_([EventType.QUEUED, EventType.STARTED])
            | (_NEWEST.is_(None) & (jobs.c.completed_at > _OLDEST_KEPT_AT)),
        ),
        "finished, but no event says so",
        "told",
        tell_endings,
    ),
    Rule(
        "another_end_told",
        sa.select(jobs.c.job_id).where(_FINISHED, _NEWEST.in_(_ENDINGS), jobs.c.status != _NEWEST),
        "finished, but its newest event tells of another end",
        _TOLD_ANEW,
        tell_anew,
    ),
    Rule(
        "end_told_too_early",
        sa.select(jobs.c.job_id).where(~_FINISHED, _NEWEST.in_(_ENDINGS)),
        "under way, but its newest event tells of its end",
        _TOLD_ANEW,
        tell_anew,
    ),
    Rule(
        "deletion_told_of_job",
        sa.select(jobs.c.job_id).where(_NEWEST == EventType.DELETED),
        "there, but its newest event says that it was deleted",
        _TOLD_ANEW,
        tell_anew,
    ),
    Rule(
        "end_told_twice",
        sa.select(events.c.event_id).where(events.c.type.in_(_ENDINGS), _TURN_BEFORE.in_(_ENDINGS)),
        "an event that ends a life of a job for the second time; what was told is not taken back",
    ),
)
