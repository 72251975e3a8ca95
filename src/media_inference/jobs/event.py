"""A job event: what happened to a job, as whoever listens is told."""

from dataclasses import dataclass
from enum import StrEnum

from media_inference.jobs.job import JsonObject


class EventType(StrEnum):
    """The closed list of what happens to a job.

    A life of a job has one ``queued``, one ``started`` for each attempt that counts, then ``completed`` or ``failed``;
    ``deleted`` is the last of all, when it is removed. A retry or a release has no event: the next ``started`` follows,
    with the next number, or none if the attempt that was given back had told of that number already. A job has one
    life, and another when it is run again by a repair, or by a restore that finds it at work.
    """

    QUEUED = "queued"
    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    DELETED = "deleted"


LAST_WORDS = frozenset({EventType.COMPLETED, EventType.FAILED, EventType.DELETED})
"""After one of these nobody works on the job any more."""


@dataclass(frozen=True, slots=True)
class Event:
    """``event_id`` rises in the order in which the changes were committed, and is never used twice.

    ``at``: milliseconds since 1970 UTC. ``data``: the job's task_type, media_store_id and priority; the number of the
    attempt where there is one; the error of a failed job.
    """

    event_id: int
    type: EventType
    job_id: str
    at: int
    data: JsonObject

    def as_json(self) -> JsonObject:
        """The event as clients see it."""
        return {"id": self.event_id, "type": self.type, "job_id": self.job_id, "at": self.at, **self.data}
