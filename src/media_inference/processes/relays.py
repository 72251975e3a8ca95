"""The relays of the process that publishes: one per dependency."""

import sqlalchemy as sa

from media_inference.artifacts.store import ArtifactStore
from media_inference.errors import Dependency
from media_inference.media.store import ResultSink
from media_inference.publisher.relay import Relay
from media_inference.publisher.uploads import UploadPublisher
from media_inference.publisher.vectors import AT_ONCE, VectorPublisher
from media_inference.queue.outages import OutageRecords
from media_inference.queue.outbox import Outbox
from media_inference.queue.sync import SyncRecords
from media_inference.queue.wake import Wake
from media_inference.settings import Settings
from media_inference.vectors.store import VectorStore

_PACE, _PACE_IN_COMPANY = 0.03, 0.15
"""Seconds: each round of the embedded vector store syncs for 3 ms and more, in which no other thread can run.

Who is alone is not kept waiting. While other jobs are under way, more outcomes will come, and share what a round costs.
"""


def make_relays(
    settings: Settings,
    engine: sa.Engine,
    *,
    vectors: VectorStore,
    artifacts: ArtifactStore,
    sink: ResultSink | None,
    outcomes: Wake,
    events: Wake,
) -> list[Relay]:
    """Vectors first: ``outcomes`` wakes their relay, and what it completed wakes the uploads and rings ``events``."""
    outages = OutageRecords(engine)
    outbox = Outbox(engine, on_event=events.ring)
    relays = []
    if sink is not None:
        uploads = UploadPublisher(SyncRecords(engine), sink, artifacts, settings.media_sync_max_age)
        relays.append(Relay(Dependency.MEDIA_STORE, uploads, outages, poll_interval=settings.worker_poll_interval))
    relays.insert(
        0,
        Relay(
            Dependency.VECTOR_STORE,
            VectorPublisher(outbox, vectors),
            outages,
            poll_interval=settings.worker_poll_interval,
            rest=lambda since: rest_of(outbox, since),
            page=AT_ONCE,
            finish=True,
            on_round=relays[0].ring if relays else lambda: None,
            wake=outcomes,
        ),
    )
    return relays


def rest_of(outbox: Outbox, since: float) -> float:
    """Seconds until the next round, ``since`` seconds after the last one began."""
    if since >= _PACE_IN_COMPANY:
        return 0.0
    return (_PACE_IN_COMPANY if outbox.more_will_come() else _PACE) - since
