"""Jobs for lanes that are about to end, claimed by the transaction that settles what was in them: one sync for both."""

import threading
from collections.abc import Callable, Sequence

from media_inference.errors import DatabaseUnavailable, JobError
from media_inference.jobs.job import Claim
from media_inference.queue.changes import Settlement
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.turns import Wish


class NextJobs:
    """Settles for the lanes, and keeps what was claimed with it until the loop starts it.

    ``wish``: what may be claimed when so many lanes end, or None. ``hold`` is told of each claim. The loop sets both.
    """

    def __init__(self, queue: JobQueue, worker_id: str) -> None:
        self._queue = queue
        self._worker_id = worker_id
        self._claims: list[Claim] = []
        self._lock = threading.Lock()
        self.wish: Callable[[int], Wish | None] = lambda _ending: None
        self.hold: Callable[[Claim], None] = lambda _claim: None

    @property
    def waiting(self) -> int:
        """Claims that are not started yet."""
        return len(self._claims)

    def settle_some(self, settlements: Sequence[Settlement]) -> list[bool | JobError]:
        """Settles outcomes as `JobQueue.settle_some`."""
        wish = self._wish_after(len(settlements))
        if wish is None:
            return self._queue.settle_some(settlements)
        endings, claims = self._queue.settle_and_claim(settlements, self._worker_id, wish)
        for claim in claims:
            self.hold(claim)
        with self._lock:
            self._claims += claims
        return endings

    def start_some(self, most: int, start: Callable[[Claim], None]) -> int:
        """Starts the first of what waits, and returns how many. Only one thread may call this and `take_all`.

        Each waits until its lane has it: it is never in neither.
        """
        started = 0
        while started < most and self._claims:
            start(self._claims[0])
            with self._lock:
                del self._claims[0]
            started += 1
        return started

    def take_all(self) -> list[Claim]:
        """What waits, and shall not be started."""
        with self._lock:
            taken, self._claims = self._claims, []
        return taken

    def _wish_after(self, ending: int) -> Wish | None:
        try:
            return self.wish(ending)
        except DatabaseUnavailable:  # what the outcomes themselves may be spared: the loop asks again
            return None
