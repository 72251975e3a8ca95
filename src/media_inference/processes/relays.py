"""The relays of the process that publishes: one per dependency."""

import sqlalchemy as sa

from media_inference.artifacts.store import ArtifactStore
from media_inference.errors import Dependency
from media_inference.media.store import ResultSink
from media_inference.publisher.relay import Relay
from media_inference.publisher.uploads import UploadPublisher
from media_inference.publisher.vectors import VectorPublisher
from media_inference.queue.outages import OutageRecords
from media_inference.queue.outbox import Outbox
from media_inference.queue.sync import SyncRecords
from media_inference.queue.wake import Wake
from media_inference.settings import Settings
from media_inference.vectors.store import VectorStore


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
    relays = []
    if sink is not None:
        uploads = UploadPublisher(SyncRecords(engine), sink, artifacts, settings.media_sync_max_age)
        relays.append(Relay(Dependency.MEDIA_STORE, uploads, outages, poll_interval=settings.worker_poll_interval))
    relays.insert(
        0,
        Relay(
            Dependency.VECTOR_STORE,
            VectorPublisher(Outbox(engine, on_event=events.ring), vectors),
            outages,
            poll_interval=settings.worker_poll_interval,
            finish=True,
            on_round=relays[0].ring if relays else lambda: None,
            wake=outcomes,
        ),
    )
    return relays
