"""Where the files of results are kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from media_inference.jobs.outcome import Artifact


class StagedArtifacts(Protocol):
    """Files of one attempt, durable but not yet in place. They appear all at once or not at all."""

    size: int
    """Bytes in all."""

    def promote(self) -> None:
        """Makes them the job's files, in place of any older ones. Quick: called inside the settling transaction."""
        ...

    def discard(self) -> None:
        """Removes what was staged; does nothing after `promote`."""
        ...


class ArtifactStore(Protocol):
    """The files of jobs. Methods that write raise `DependencyAway` (``storage``) while there is no room."""

    def stage(self, job_id: str, attempt: str, artifacts: Sequence[Artifact]) -> StagedArtifacts:
        """Writes the files of one attempt out of sight, fsynced; ``attempt`` is the lease token."""
        ...

    def path(self, job_id: str, name: str) -> Path | None:
        """Where a job's file lies, or None when there is none."""
        ...

    def remove(self, job_id: str) -> tuple[int, int]:
        """Removes a job's files; returns (files, bytes)."""
        ...

    def check(self) -> None:
        """Raises when the folder can't be written."""
        ...
