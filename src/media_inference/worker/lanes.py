"""The threads of a worker, each with one job at a time."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from media_inference.jobs.job import Claim
from media_inference.queue.wake import Wake


class Lanes:
    """Runs up to ``count`` jobs at once. ``freed`` rings whenever one ends; leaving the block waits for all.

    ``attempt`` gets a claim and knows what to do about every error of a job. What it raises all the same is our own
    mistake, and `check` raises it again.
    """

    def __init__(self, count: int, attempt: Callable[[Claim], None]) -> None:
        self._count = count
        self._attempt = attempt
        self._running: dict[str, Claim] = {}
        self._mistake: BaseException | None = None
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="lane")
        self.freed = Wake.pipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._threads.shutdown()
        self.freed.close()

    @property
    def busy(self) -> int:
        """How many jobs are under way."""
        return len(self._running)

    @property
    def free(self) -> int:
        """How many more may be: none beside one that runs alone."""
        with self._lock:
            alone = any(claim.alone for claim in self._running.values())
            return 0 if alone else self._count - len(self._running)

    def check(self) -> None:
        """Raises what an attempt should not have raised: the worker ends by it, and another begins."""
        if self._mistake is not None:
            raise self._mistake

    def start(self, claim: Claim) -> None:
        """Runs a job; there must be a free lane."""
        with self._lock:
            self._running[claim.lease_token] = claim
        self._threads.submit(self._run, claim)

    def _run(self, claim: Claim) -> None:
        try:
            self._attempt(claim)
        except BaseException as error:  # noqa: BLE001  # a thread pool would keep it to itself
            self._mistake = error
        finally:
            with self._lock:
                del self._running[claim.lease_token]
            self.freed.ring()
