"""One thing that must hold between the tables, and how it is mended where it does not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

Id = str | int
Mend = Callable[[sa.Connection, Sequence[Id], int], None]
"""Mends rows by their ids within a writing transaction, at a time in milliseconds."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``broken`` selects the ids of rows that break it, as one column. ``what`` is wrong with them, in words.

    ``remedy``: what ``mend`` does, in words; None where nothing in the database can help.
    """

    name: str
    broken: sa.Select[Id]
    what: str
    remedy: str | None = None
    mend: Mend | None = None
