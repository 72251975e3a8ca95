"""Which workers there are, and what they run on."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from media_inference.queue.clock import Clock, wall_clock
from media_inference.queue.engine import reading, writing
from media_inference.queue.tables import workers


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker that says it is alive. ``device``: what its networks really run on; ``models``: by kind."""

    worker_id: str
    device: str
    models: dict[str, str]


class WorkerRecords:
    """The workers' table. A worker that has not been seen for ``patience`` seconds counts as gone."""

    def __init__(self, engine: sa.Engine, patience: float, clock: Clock = wall_clock) -> None:
        self._engine = engine
        self._patience = patience
        self._clock = clock

    def arrive(self, worker: WorkerRecord) -> None:
        """Enters a worker that is ready to work; forgets those that are long gone."""
        now = self._clock()
        with writing(self._engine) as tx:
            tx.execute(workers.delete().where(workers.c.seen_at < now - int(10 * self._patience * 1000)))
            tx.execute(
                workers.insert().values(
                    worker_id=worker.worker_id,
                    device=worker.device,
                    models=worker.models,
                    started_at=now,
                    seen_at=now,
                )
            )

    def beat(self, worker_id: str) -> None:
        """The worker is alive now."""
        with writing(self._engine) as tx:
            tx.execute(workers.update().where(workers.c.worker_id == worker_id).values(seen_at=self._clock()))

    def leave(self, worker_id: str) -> None:
        """Strikes a worker off."""
        with writing(self._engine) as tx:
            tx.execute(workers.delete().where(workers.c.worker_id == worker_id))

    def alive(self) -> Sequence[WorkerRecord]:
        """The workers seen lately."""
        recently = self._clock() - int(self._patience * 1000)
        with reading(self._engine) as tx:
            rows = tx.execute(
                sa.select(*workers.c["worker_id", "device", "models"])
                .where(workers.c.seen_at >= recently)
                .order_by(workers.c.started_at)
            )
            return [WorkerRecord(*row) for row in rows]
