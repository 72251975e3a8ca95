"""How large a storm is: as small as `make test` has it, or as large as `make storms`."""

import os
from dataclasses import dataclass
from typing import TypeVar

Amount = TypeVar("Amount")


@dataclass(frozen=True, slots=True)
class Size:
    """``broken``: the broken build that the storm is to be tried on, which it must find (`tests/storms/broken.py`)."""

    full: bool
    seeds: tuple[int, ...]
    broken: str | None

    def of(self, short: Amount, full: Amount) -> Amount:
        """One of the two."""
        return full if self.full else short


def size_from_environment() -> Size:
    """``STORMS=full``, ``SEED=7`` and ``BROKEN=name``, as `make storms` passes them on."""
    full, seed = os.environ.get("STORMS") == "full", os.environ.get("SEED")
    seeds = (int(seed),) if seed else ((1, 2, 3) if full else (1,))
    return Size(full, seeds, os.environ.get("BROKEN") or None)
