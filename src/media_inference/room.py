"""How much of a disk must stay free.

Below that nothing new is written: jobs wait while there is still room for what has to be noted about them, and an
engine that maps its files never meets a page that the disk can't give it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from media_inference.errors import Dependency, DependencyAway, ErrorCode

LEAST_ROOM = 16 * 1024 * 1024
"""Bytes without which nothing is opened or written, whatever the settings say."""


@dataclass(frozen=True, slots=True)
class Room:
    """The disk of ``folder``, of which ``least`` bytes stay free. ``what`` is kept there, in words for clients."""

    folder: Path
    what: str
    least: int = LEAST_ROOM

    def require(self, size: int = 0) -> None:
        """Raises `DependencyAway` (``storage``) when fewer bytes would be left after ``size`` more are written."""
        if self.free() < self.least + size:
            raise no_room(self.what)

    def free(self) -> int:
        """Bytes that this process may still write. Raises `DependencyAway` (``storage``) when nobody can tell."""
        try:
            disk = os.statvfs(self.folder)
        except OSError as error:
            message = f"the disk for {self.what} does not answer"
            raise DependencyAway(Dependency.STORAGE, ErrorCode.STORAGE_FULL, message) from error
        return disk.f_bavail * disk.f_frsize


def require_all(rooms: Sequence[Room]) -> None:
    """Raises as `Room.require` does, for the first that has too little."""
    for room in rooms:
        room.require()


def no_room(what: str) -> DependencyAway:
    """The error for a disk that is full."""
    return DependencyAway(Dependency.STORAGE, ErrorCode.STORAGE_FULL, f"there is no room for {what}")
