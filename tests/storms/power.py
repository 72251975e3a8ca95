"""What a power cut may leave of a database, made from what lay in its files at one moment.

What was not synced may be lost, whole or in part, in any order: the end of the write-ahead log, pages of a checkpoint
that was under way, and the shared index, which is never synced. What was synced is there. A client knows how far the
log was written when its answer arrived; a tear behind that place can't touch what the answer spoke of.
"""

import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.stands.running_service import until
from tests.storms.init import processes_in
from tests.storms.wal import HEADER, Place, Wal

DATABASE = "inference.db"
_SECTOR = 512
_COMMITS = 16
_BACKFILL_ATTEMPTED = 128
"""Where the shared index says how many frames a checkpoint may have copied; it synced the log first."""


@dataclass(frozen=True, slots=True)
class Known:
    """A job of which a client was told that it is there, or that it is gone; and how far the log was written then."""

    job_id: str
    there: bool
    place: Place


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files at one moment at which no process ran.

    ``begun``: a place before which everything was synced, from before the storm. ``known``: what clients had been told.
    ``files``: the jobs whose files were there.
    """

    database: bytes
    wal: Wal
    index: bytes
    begun: Place
    known: Sequence[Known]
    files: frozenset[str]

    @property
    def floor(self) -> int:
        """The byte of the log before which everything was synced, whatever a client knows: a checkpoint began there."""
        attempted = self.index[_BACKFILL_ATTEMPTED : _BACKFILL_ATTEMPTED + 4]
        begun = self.begun.end if self.begun.salts == self.wal.salts else HEADER
        return min(max(self.wal.after(int.from_bytes(attempted, "little")), begun), self.wal.place.end)

    @property
    def synced(self) -> int:
        """The byte of the log before which everything was synced, as clients know."""
        ends = [known.place.end for known in self.known if known.place.salts == self.wal.salts]
        return min(max([self.floor, *ends]), self.wal.place.end)

    def certain(self, kept: int) -> list[Known]:
        """What must be so when the first ``kept`` bytes of the log are there."""
        return [known for known in self.known if known.place.salts != self.wal.salts or known.place.end <= kept]


@dataclass(frozen=True, slots=True)
class Torn:
    """Database files after a power cut: of the log, the first ``kept`` bytes are as they were. ``index``: if any."""

    kind: str
    database: bytes
    wal: bytes
    index: bytes | None
    kept: int

    def write(self, folder: Path) -> None:
        """Puts the files there."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DATABASE).write_bytes(self.database)
        (folder / f"{DATABASE}-wal").write_bytes(self.wal)
        (folder / f"{DATABASE}-shm").unlink(missing_ok=True)
        if self.index is not None:
            (folder / f"{DATABASE}-shm").write_bytes(self.index)


def take_snapshot(data: Path, begun: Place, known: Sequence[Known]) -> Snapshot:
    """Reads the files while nobody writes. ``known`` was written down before that began."""
    jobs = data / "inference" / "jobs"
    return Snapshot(
        (data / DATABASE).read_bytes(),
        Wal((data / f"{DATABASE}-wal").read_bytes()),
        (data / f"{DATABASE}-shm").read_bytes(),
        begun,
        known,
        frozenset(path.name for path in jobs.glob("[!.]*")),
    )


def tears(snapshot: Snapshot, chance: random.Random) -> Iterator[Torn]:
    """One of each kind, and some between two transactions."""
    floor, synced, end = snapshot.floor, snapshot.synced, snapshot.wal.place.end
    yield cut(snapshot, chance.randint(floor, end), chance, "cut anywhere")
    yield cut(snapshot, chance.randint(synced, end), chance, "cut behind what was acknowledged")
    yield _sectors(snapshot, synced, chance)
    yield _flip(snapshot, chance)
    yield _checkpoint(snapshot, chance)
    commits = [commit for commit in snapshot.wal.commits if commit >= floor]
    for commit in chance.sample(commits, min(len(commits), _COMMITS)):
        yield cut(snapshot, commit, chance, "cut between two transactions")


def cut(snapshot: Snapshot, kept: int, chance: random.Random, kind: str) -> Torn:
    """The log ends there; it may have been longer once, then old bytes or nothing follow."""
    tail = chance.choice((b"", bytes(_SECTOR * 9), chance.randbytes(_SECTOR * 9)))
    return Torn(kind, snapshot.database, snapshot.wal.content[:kept] + tail, _index(snapshot, chance), kept)


def _sectors(snapshot: Snapshot, begin: int, chance: random.Random) -> Torn:
    """Some sectors of the tail were written, others were not."""
    log = bytearray(snapshot.wal.content[: snapshot.wal.place.end])
    first = -(-begin // _SECTOR) * _SECTOR
    lost = [start for start in range(first, len(log), _SECTOR) if chance.random() < 0.5]
    for start in lost:
        size = min(_SECTOR, len(log) - start)
        log[start : start + size] = chance.choice((bytes(size), chance.randbytes(size)))
    kept = lost[0] if lost else len(log)
    return Torn("sectors lost", snapshot.database, bytes(log), _index(snapshot, chance), kept)


def _flip(snapshot: Snapshot, chance: random.Random) -> Torn:
    """One bit of a frame is another."""
    log = bytearray(snapshot.wal.content[: snapshot.wal.place.end])
    frames = [frame for frame in snapshot.wal.frames if frame.start >= snapshot.floor]
    kept = len(log)
    if frames:
        frame = chance.choice(frames)
        log[chance.randrange(frame.start, frame.end)] ^= 1 << chance.randrange(8)
        kept = frame.start
    return Torn("a bit flipped", snapshot.database, bytes(log), _index(snapshot, chance), kept)


def _checkpoint(snapshot: Snapshot, chance: random.Random) -> Torn:
    """A checkpoint was copying pages into the database: some are there, one is torn, the others are not."""
    commits = [commit for commit in snapshot.wal.commits if commit >= snapshot.synced]
    kept = chance.choice(commits) if commits else snapshot.synced
    newest = {frame.page: frame for frame in snapshot.wal.frames if frame.end <= kept}
    size = snapshot.wal.page_size
    database = bytearray(snapshot.database)
    for frame in chance.sample(list(newest.values()), chance.randint(0, len(newest))):
        place, page = (frame.page - 1) * size, snapshot.wal.page(frame)
        database += bytes(max(0, place + size - len(database)))
        written = size if chance.random() < 0.8 else _SECTOR * chance.randrange(size // _SECTOR)
        database[place : place + written] = page[:written]
    torn = cut(snapshot, chance.randint(kept, snapshot.wal.place.end), chance, "cut within a checkpoint")
    return Torn(torn.kind, bytes(database), torn.wal, torn.index, torn.kept)


def _index(snapshot: Snapshot, chance: random.Random) -> bytes | None:
    return chance.choice((None, snapshot.index, chance.randbytes(len(snapshot.index))))


def uncertain(wal: Wal) -> int:
    """The byte behind which the log may not be synced yet: what one writer wrote who has not let go of the lock.

    Nobody begins to write before the one before has synced its transaction.
    """
    ends = [HEADER, *wal.commits]
    return ends[-1] if ends[-1] < wal.place.end else ends[max(len(ends) - 2, 0)]


@contextmanager
def standstill(folder: Path) -> Iterator[None]:
    """All processes that were started in this folder are stopped for as long as the block lasts."""
    stopped = processes_in(folder)
    for pid in stopped:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: [pid for pid in stopped if not _stands(pid)], lambda moving: not moving)
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _stands(pid: int) -> bool:
    """Whether no thread of a process runs, or it is gone."""
    states = []
    for place in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):
            states.append(place.read_text().rpartition(")")[2].split()[0])
    return set(states) <= {"T", "t", "Z", "X"}
