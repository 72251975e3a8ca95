"""Where a service keeps what a backup holds."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """``media``: the built-in media store, None where photos are kept elsewhere. ``keys``: those that may be there."""

    database: Path
    jobs: Path
    media: Path | None
    keys: tuple[Path, ...]
