"""What `/health` looks at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from media_inference.api.services import Check, Unwell
from media_inference.artifacts.store import ArtifactStore
from media_inference.errors import Dependency
from media_inference.media.folder_inbox import FolderInbox
from media_inference.publisher.relay import Relay
from media_inference.queue.engine import sqlite_module
from media_inference.queue.job_records import JobRecords
from media_inference.queue.migrate import newest_revision
from media_inference.queue.outages import OutageRecords
from media_inference.queue.worker_records import WorkerRecords
from media_inference.room import Room, require_all
from media_inference.vectors.store import COLLECTIONS, VectorStore

Details = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The checks of one process. Each returns details, or raises when what it looks at is broken.

    ``inbox``: the built-in media store, if that is the one in use. ``workers_here`` counts the worker processes of this
    process, and is None where workers run elsewhere and may come and go. ``rooms``: the disks that must have room left.
    """

    records: JobRecords
    vectors: VectorStore
    artifacts: ArtifactStore
    relays: Sequence[Relay]
    outages: OutageRecords
    workers: WorkerRecords
    inbox: FolderInbox | None
    rooms: Sequence[Room]
    workers_here: Callable[[], int] | None

    def checks(self) -> dict[str, Check]:
        """The checks by name."""
        return {
            "database": self._database,
            "vector_store": self._vector_store,
            "files": self._files,
            "storage": self._storage,
            "publisher": self._publisher,
            "workers": self._workers,
            "media_store": self._media_store,
        }

    def _database(self) -> Details:
        self.records.check()
        return {"sqlite": sqlite_module().sqlite_version, "revision": newest_revision()}

    def _vector_store(self) -> Details:
        self._refuse_outage(Dependency.VECTOR_STORE)
        self.vectors.check()
        return {"points": {collection: self.vectors.count(collection) for collection in COLLECTIONS}}

    def _files(self) -> Details:
        self.artifacts.check()
        return {}

    def _storage(self) -> Details:
        require_all(self.rooms)
        self._refuse_outage(Dependency.STORAGE)
        return {"free_bytes": min(room.free() for room in self.rooms)}

    def _publisher(self) -> Details:
        if not all(relay.state().running for relay in self.relays):
            raise Unwell("the publisher has stopped")
        return {}

    def _workers(self) -> Details:
        alive = self.workers.alive()
        if self.workers_here is not None and not alive:
            raise Unwell("no worker is ready yet" if self.workers_here() else "no worker is running")
        return {
            "alive": len(alive),
            "devices": sorted({worker.device for worker in alive}),
            "models": alive[0].models if alive else {},
        }

    def _media_store(self) -> Details:
        self._refuse_outage(Dependency.MEDIA_STORE)
        if self.inbox is not None:
            self.inbox.check()
        return {}

    def _refuse_outage(self, dependency: Dependency) -> None:
        for outage in self.outages.current():
            if outage.dependency == dependency:
                raise Unwell(outage.reason, since=outage.since)
