"""Strikes from outside at worker processes that run a job: SIGKILL, or SIGSTOP until they have lost it."""

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

import sqlalchemy as sa

from media_inference.failpoints import Failpoint
from media_inference.queue.crashes import MOST_CRASHES
from media_inference.queue.engine import sqlite_module
from media_inference.queue.tables import jobs, queue
from tests.storms.faults import Action, Fault
from tests.storms.init import Kept
from tests.storms.service import StormService

_LONGEST_STOP = 20.0


@dataclass(slots=True)
class Duel:
    """A worker that was stopped over a job, and the one that gets the job after it.

    The second is stopped as soon as it has claimed it, and the first let go: it comes to its end while the job
    is another's. Without a fence the dead man's outcome would be taken.
    """

    role: Kept
    pid: int
    job_id: str
    fault: int
    log_begin: int
    since: float = field(default_factory=time.monotonic)
    second: int | None = None
    over: bool = False

    def step(self, service: StormService) -> None:
        """Goes on as far as it can now."""
        struck = service.faults.struck(self.fault)
        if self.second is None and struck:
            self.second = struck[0].pid
            self._let_go(self.pid, self.role.pid)
        too_long = time.monotonic() - self.since > _LONGEST_STOP
        if (self.second is not None and self._first_is_done()) or too_long:
            service.faults.disarm(self.fault)
            self._let_go(self.pid, self.role.pid, *([] if self.second is None else [self.second]))
            self.over = True

    def _first_is_done(self) -> bool:
        with self.role.log.open("rb") as log:
            log.seek(self.log_begin)
            return any(b'"job.done"' in line and self.job_id.encode() in line for line in log)

    @staticmethod
    def _let_go(*pids: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@dataclass(slots=True)
class Striker:
    """Strikes at workers of a service and counts. Call `look` often.

    Each strike begins with SIGSTOP, so that what it hits can be seen before it hits. A job that was charged twice is
    spared: the third crash of a job ends it as `worker_crashed`, whoever was to blame, and that is another storm.
    """

    service: StormService
    chance: random.Random
    kills: int = 0
    stops: int = 0
    duels: int = 0
    _stopped: list[Duel] = field(default_factory=list)

    def strike(self, *, kill: bool) -> bool:
        """One strike at one worker that runs a job; False when none could be hit now."""
        if not kill and len(self._stopped) >= self._most_stopped():
            return False
        stopped = {duel.role.name for duel in self._stopped}
        roles = [role for name, role in self.service.roles.items() if name.startswith("worker") and name not in stopped]
        role = self.chance.choice(roles)
        seconds = {duel.second for duel in self._stopped}
        for name, pid in role.children().items():
            if pid in seconds:
                return False
            with suppress(ProcessLookupError), _frozen(pid) as left_frozen:
                jobs_held = self._held(name)
                if not jobs_held or (len(jobs_held) == 1 and jobs_held[0].crashes >= MOST_CRASHES - 1):
                    return False
                held = self.chance.choice(jobs_held)
                if kill:
                    os.kill(pid, signal.SIGKILL)
                    self.kills += 1
                elif self._somebody_can_write():
                    os.kill(role.pid, signal.SIGSTOP)  # or it would end its silent worker
                    left_frozen.append(pid)
                    self._begin_duel(role, pid, held)
                return True
        return False

    def look(self) -> int:
        """Goes on with the duels; returns how many there are."""
        for duel in self._stopped:
            duel.step(self.service)
            self.duels += duel.over and duel.second is not None
        self._stopped = [duel for duel in self._stopped if not duel.over]
        return len(self._stopped)

    def _most_stopped(self) -> int:
        """Half of the workers: the others are to take over."""
        return sum(name.startswith("worker") for name in self.service.roles) // 2

    def _begin_duel(self, role: Kept, pid: int, held: sa.Row[str, str, int]) -> None:
        (fault,) = self.service.faults.arm(Fault(Failpoint.CLAIM_AFTER_COMMIT, Action.STOP, subject=held.job_id))
        self._stopped.append(Duel(role, pid, held.job_id, fault, role.log.stat().st_size))
        self.stops += 1

    def _held(self, name: str) -> Sequence[sa.Row[str, str, int]]:
        """What the worker whose id begins so, and which can't go on just now, has claimed."""
        query = sa.select(*jobs.c["job_id", "media_store_id", "crashes"]).join(queue, jobs.c.job_id == queue.c.job_id)
        with self.service.engine.begin() as tx:
            return tx.execute(query.where(queue.c.worker_id.startswith(name)).order_by(queue.c.position)).all()

    def _somebody_can_write(self) -> bool:
        """Whether the one that is stopped has not taken the write lock with it, which nobody can take from it."""
        module = sqlite_module()
        with closing(module.connect(self.service.engine.url.database, timeout=1.0, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except module.OperationalError:
                return False
            other.execute("ROLLBACK")
            return True


@contextmanager
def _frozen(pid: int) -> Iterator[list[int]]:
    """Stops a process for as long as the block lasts; for longer, if the block enters it in the list."""
    left_frozen: list[int] = []
    os.kill(pid, signal.SIGSTOP)
    try:
        yield left_frozen
    finally:
        if pid not in left_frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
