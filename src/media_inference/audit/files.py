"""The files of settled jobs against their results and embeddings."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from media_inference.artifacts.shelf import Shelf
from media_inference.audit.finding import RUN_AGAIN, Batch, Finding
from media_inference.audit.points import is_sound
from media_inference.jobs.job import JobStatus, JsonObject
from media_inference.queue.inventory import Inventory, KeptEmbedding, SettledJob
from media_inference.queue.repairs import Repairs

Promise = Callable[[JsonObject], Mapping[str, int | None]]
"""Result -> the files that belong to it, each with the place of its vector in the embedding set, or None."""

VECTOR_BYTES = 2048

_REWRITTEN = "written again from the embedding in the database"


class FileCheck:
    """``promises``: by task type. A job of another type is held to the number and size of files on record alone."""

    def __init__(self, inventory: Inventory, shelf: Shelf, promises: Mapping[str, Promise], repairs: Repairs) -> None:
        self._inventory = inventory
        self._shelf = shelf
        self._promises = promises
        self._repairs = repairs

    def __call__(self) -> Iterator[Batch]:
        """All batches."""
        for page in self._inventory.settled_jobs():
            faulty = [job for job in page if any(True for _ in self._batches(job))]
            # Files are put in place before their job is settled, and removed after it is gone: if the job is the same
            # before and after a look at its files, they were not in motion.
            now = self._inventory.settled_among([job.job_id for job in faulty]) if faulty else {}
            for job in faulty:
                if now.get(job.job_id) == job:
                    yield from self._batches(job)

    def _batches(self, job: SettledJob) -> Iterator[Batch]:
        sizes = self._shelf.sizes(job.job_id)
        promise = self._promises.get(job.task_type)
        names = dict(promise(job.result or {})) if promise else dict.fromkeys(sizes)
        kept = {} if job.set_id is None else {each.key[1]: each.numbers for each in self._embeddings(job.set_id)}
        lost = None
        for name, place in names.items():
            vector = b"" if place is None or place not in kept else kept[place].tobytes()
            kind = self._fault(job, name, vector, sizes.get(name))
            if kind is not None and vector:
                yield self._rewritten(job, name, kind, vector)
            elif kind is not None:
                lost = lost or (kind, name)
            elif job.set_id is not None and place is not None and not vector:
                lost = ("embedding_missing", name)
        for name in sizes.keys() - names.keys():
            yield self._unexpected(job, name)
        expected = [sizes.get(name, 0) if place is None else VECTOR_BYTES for name, place in names.items()]
        if lost is None and (len(expected), sum(expected)) != (job.files, job.bytes):
            lost = ("files_changed", "its files")
        if lost is not None:
            yield self._lost(job, *lost)

    def _embeddings(self, set_id: int) -> list[KeptEmbedding]:
        return [each for each in self._inventory.embeddings_of(set_id) if is_sound(each.numbers)]

    def _fault(self, job: SettledJob, name: str, vector: bytes, size: int | None) -> str | None:
        """``vector``: what the file must hold; nothing where a newer job replaced the embedding set."""
        if size is None:
            return "file_missing"
        content = self._shelf.read(job.job_id, name)
        if name.endswith(".jpg"):
            return None if _is_jpeg(content) else "crop_damaged"
        sound = len(content) == VECTOR_BYTES and is_sound(np.frombuffer(content, "<f4"))
        return None if sound and vector in {content, b""} else "vector_file_damaged"

    def _rewritten(self, job: SettledJob, name: str, kind: str, content: bytes) -> Batch:
        finding = _finding(job, name, kind, _REWRITTEN)
        return Batch([finding], partial(self._shelf.replace, job.job_id, name, content))

    def _unexpected(self, job: SettledJob, name: str) -> Batch:
        finding = _finding(job, name, "file_unexpected", "deleted")
        return Batch([finding], partial(self._shelf.remove, job.job_id, name))

    def _lost(self, job: SettledJob, kind: str, name: str) -> Batch:
        """Only the photo can tell what was in it. A job that is not completed yet is left to its publisher first."""
        if job.status is not JobStatus.COMPLETED:
            return Batch([_finding(job, name, kind, None)], None)
        return Batch([_finding(job, name, kind, RUN_AGAIN)], partial(self._repairs.run_again, [job.job_id]))


_WHAT = {
    "file_missing": "not there",
    "embedding_missing": "there, but its embedding is not in the database",
    "crop_damaged": "no whole JPEG",
    "vector_file_damaged": "not the 512 float32 of its embedding",
    "file_unexpected": "not a file of the job's result",
    "files_changed": "not as many, or not as large, as when they were written",
}


def _finding(job: SettledJob, name: str, kind: str, remedy: str | None) -> Finding:
    return Finding(kind, f"{job.job_id}/{name}", _WHAT[kind], remedy)


def _is_jpeg(content: bytes) -> bool:
    """From its first marker to its last."""
    return content.startswith(b"\xff\xd8\xff") and content.endswith(b"\xff\xd9")
