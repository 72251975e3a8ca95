"""What a task is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from media_inference.jobs.job import Claim, JsonObject
from media_inference.jobs.outcome import Findings
from media_inference.media.reader import Media
from media_inference.tasks.toolbox import Toolbox


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of work that a job asks for.

    ``find`` looks at one media item and returns what it found; it may raise any `JobError`, and writes nothing.
    ``makes_vectors``: its findings go to the vector store, so that its jobs wait while that is away. ``files``: those
    that a result promises, each with the place of its vector in the embedding set, or None for another file; where a
    task does not say, nobody can tell whether one is missing.
    """

    type: str
    summary: str
    find: Callable[[Claim, Media, Toolbox], Findings]
    makes_vectors: bool
    files: Callable[[JsonObject], Mapping[str, int | None]] | None = None
