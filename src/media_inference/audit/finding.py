"""What an audit finds, and what it does about it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

RUN_AGAIN = "the job runs again"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``id``: of what; ``remedy``: what `--fix` does, None where it can do nothing."""

    kind: str
    id: str
    what: str
    remedy: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Findings that are mended together, by ``mend``; it may be called only once, right after they were found."""

    findings: Sequence[Finding]
    mend: Callable[[], object] | None


Check = Callable[[], Iterator[Batch]]
"""Looks at one kind of thing from beginning to end, and finds only what is still wrong at a second look."""
