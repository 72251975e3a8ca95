"""A real disk of a few megabytes, to be filled."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FILLER = "filler"


class SmallDisk:
    """A mounted disk. Methods leave nothing half written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, left: int = 0) -> None:
        """Takes all room but ``left`` bytes."""
        with (self.folder / FILLER).open("ab", buffering=0) as file:
            while (wanted := self.free() - left) > 0:
                try:
                    file.write(bytes(min(wanted, 1 << 20)))
                except OSError:
                    return

    def make_room(self) -> None:
        """Gives back what `fill` took."""
        (self.folder / FILLER).unlink()

    def free(self) -> int:
        """Bytes left."""
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mounts a disk on ``folder``; skips the test where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this machine does not let a test mount a small disk: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
