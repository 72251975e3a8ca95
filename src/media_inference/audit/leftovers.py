"""Files that belong to nobody: of jobs that are gone or failed, and of attempts that never settled."""

from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import islice

from media_inference.artifacts.shelf import Shelf
from media_inference.artifacts.store import ArtifactStore
from media_inference.audit.finding import Batch, Finding
from media_inference.jobs.job import JobStatus
from media_inference.queue.inventory import Inventory

_AT_ONCE = 500
_WHAT = {None: "files of a job that does not exist", JobStatus.FAILED: "files of a failed job"}


class LeftoverCheck:
    """``pause`` lets time go by between two looks: a job that is deleted loses its files a moment after its row."""

    def __init__(self, inventory: Inventory, shelf: Shelf, artifacts: ArtifactStore, pause: Callable[[], None]) -> None:
        self._inventory = inventory
        self._shelf = shelf
        self._artifacts = artifacts
        self._pause = pause

    def __call__(self) -> Iterator[Batch]:
        """All batches."""
        yield from self._of_attempts()
        folders = self._shelf.jobs()
        while page := list(islice(folders, _AT_ONCE)):
            if suspects := self._without_use(page):
                self._pause()
                yield from self._of_jobs(self._without_use(suspects))

    def _without_use(self, job_ids: Collection[str]) -> dict[str, JobStatus | None]:
        statuses = self._inventory.statuses(job_ids)
        useless = {job_id: statuses.get(job_id) for job_id in job_ids if statuses.get(job_id) in _WHAT}
        return {job_id: status for job_id, status in useless.items() if self._shelf.has(job_id)}

    def _of_jobs(self, useless: dict[str, JobStatus | None]) -> Iterator[Batch]:
        for job_id, status in useless.items():
            finding = Finding("files_orphaned", job_id, _WHAT[status], "deleted")
            yield Batch([finding], partial(self._artifacts.remove, job_id))

    def _of_attempts(self) -> Iterator[Batch]:
        if not (suspects := self._abandoned()):
            return
        self._pause()
        for name in suspects & self._abandoned():
            finding = Finding("files_staged", name, "files of an attempt that never settled", "deleted")
            yield Batch([finding], partial(self._shelf.remove_staged, name))

    def _abandoned(self) -> set[str]:
        staged = self._shelf.staged()
        at_work = self._inventory.lease_tokens()  # read last: a token is there before its files are
        return {name for name in staged if name.partition(".")[0] not in at_work}
