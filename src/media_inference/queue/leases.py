"""Notices leases that are no longer renewed, without trusting anybody's clock.

A worker raises its lease's counter; the watch remembers when it last saw a counter change, by its own monotonic clock.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from media_inference.queue.engine import writing
from media_inference.queue.tables import queue


@dataclass(frozen=True, slots=True)
class Lease:
    """A claimed job's lease, as the watch sees it."""

    lease_token: str
    worker_id: str


@dataclass(frozen=True, slots=True)
class _Sighting:
    beat: int
    first_seen: float


class LeaseWatch:
    """Sees which leases stand still. Call `silent` more often than ``patience`` seconds."""

    def __init__(self, engine: sa.Engine, patience: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._patience = patience
        self._monotonic = monotonic
        self._sightings: dict[Lease, _Sighting] = {}

    def forget(self) -> None:
        """Watches anew. Call it when the database was away: no worker could renew its lease then."""
        self._sightings = {}

    def silent(self) -> list[Lease]:
        """The leases whose counter has not changed for ``patience`` seconds, in which it could have been."""
        begun = self._monotonic()
        with writing(self._engine) as tx:  # it waits where those wait who renew their leases
            now = self._monotonic()
            rows = tx.execute(
                sa.select(*queue.c["lease_token", "worker_id", "lease_beat"]).where(queue.c.lease_token.is_not(None))
            ).all()
        blocked = now - begun  # nobody could renew in that time either, so it does not count
        seen: dict[Lease, _Sighting] = {}
        for token, worker_id, beat in rows:
            lease = Lease(token, worker_id)
            before = self._sightings.get(lease)
            since = before.first_seen + blocked if before is not None and before.beat == beat else now
            seen[lease] = _Sighting(beat, since)
        self._sightings = seen
        return [lease for lease, sighting in seen.items() if now - sighting.first_seen > self._patience]
