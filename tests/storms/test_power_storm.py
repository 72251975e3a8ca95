"""The power fails while jobs run: what was not synced is lost or torn, and the database is as some commit left it."""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from media_inference.failpoints import Failpoint
from media_inference.queue.engine import open_engine
from media_inference.queue.tables import jobs
from media_inference.tasks.catalog import TASKS
from tests.stands.running_service import until
from tests.storms.agreement import disagreements
from tests.storms.end_state import rows_of
from tests.storms.faults import EVERY, Action, Fault
from tests.storms.history import Turn, read_book
from tests.storms.ledger import Ledger, Verdict
from tests.storms.photos import Photo
from tests.storms.power import DATABASE, Known, Snapshot, Torn, cut, standstill, take_snapshot, tears, uncertain
from tests.storms.service import StormService, storm_service
from tests.storms.size import Size
from tests.storms.wal import place_now

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1800)]

ROLES = ("serve", "worker-1", "worker-2")
SLOW = (Failpoint.STAGE_AFTER, Failpoint.SETTLE_AFTER_PROMOTE, Failpoint.SETTLE_AFTER_COMMIT)


def test_a_power_cut_leaves_a_whole_database_with_everything_that_was_acknowledged(
    tmp_path: Path, known_photos: Mapping[str, Photo], size: Size, seed: int
) -> None:
    verdict = storm(tmp_path, known_photos, seed, snapshots=size.of(4, 20), cuts=size.of(1, 5), broken=size.broken)
    verdict.keep()
    assert verdict.clean, verdict


def storm(
    folder: Path, known_photos: Mapping[str, Photo], seed: int, *, snapshots: int, cuts: int, broken: str | None = None
) -> Verdict:
    """So many moments, each torn in every way; then so many cuts of which the service itself must recover."""
    ledger, chance = Ledger("power", seed), random.Random(seed)  # noqa: S311  # not a secret
    findings: list[str] = []
    torn: Counter[str] = Counter()
    with storm_service(folder / "service", ledger, known_photos, broken=broken) as service:
        service.start(*ROLES)
        with Client(service, chance.randrange(1 << 32)) as client:
            for _ in range(snapshots):
                client.submit_some(chance.randint(1, 8))
                snapshot = client.stop_everything()
                for tear in tears(snapshot, chance):
                    torn[tear.kind] += 1
                    findings += look_at(tear, snapshot, service, folder / "torn")
        for _ in range(cuts):
            service.faults.arm(Fault(chance.choice(SLOW), Action.SLEEP, EVERY))  # so that jobs run when it happens
            with Client(service, chance.randrange(1 << 32)) as client:
                client.submit_some(chance.randint(6, 12))
            cut_the_power(service, client, chance)
        service.wait_until_done(120)
        assert set(service.stop().values()) == {0}
        verdict = ledger.judge(service.end_state(), snapshots=snapshots, tears=torn.total(), power_cuts=cuts, **torn)
    verdict.unexpected += findings
    return verdict


class Client:
    """Posts jobs, and deletes some, from a thread of its own; notes what it was told, and when."""

    def __init__(self, service: StormService, seed: int) -> None:
        self.known: list[Known] = []
        self._asked_to_go: set[str] = set()
        self._service = service
        self._chance = random.Random(seed)  # noqa: S311  # not a secret
        self._log = service.data / f"{DATABASE}-wal"
        self._begun = place_now(self._log)
        self._posted = 0
        self._wanted = threading.Semaphore(0)
        self._over = False
        self._failure: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="client")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._wanted.release()
        self._thread.join()
        assert not self._failure, self._failure

    def submit_some(self, count: int) -> None:
        """Posts so many jobs more, and a few after them; returns in their midst."""
        goal = self._posted + count
        for _ in range(count + 3):
            self._wanted.release()
        until(lambda: self._posted >= goal or not self._thread.is_alive(), bool)

    def stop_everything(self, after: Callable[[], None] = lambda: None) -> Snapshot:
        """A snapshot of this moment; ``after`` is called before anything goes on."""
        known = list(self.known)
        with standstill(self._service.folder):
            snapshot = take_snapshot(self._service.data, self._begun, known)
            gone = frozenset(self._asked_to_go)
            after()
        certain = [fact for fact in known if not fact.there or fact.job_id not in gone]
        return replace(snapshot, known=certain, files=snapshot.files | gone)

    def _run(self) -> None:
        try:
            for number in itertools.count():
                self._wanted.acquire()
                if self._over:
                    return
                self._post()
                if number % 7 == 6:
                    self._delete(self._chance.choice(self.known).job_id)
        except BaseException as error:  # noqa: BLE001  # told at the end of the block
            self._failure.append(error)

    def _post(self) -> None:
        photo = self._chance.choice(("two", "one", "none"))
        job_id = self._service.submit(self._chance.choice(sorted(TASKS)), self._service.media(photo), photo)
        assert job_id is not None
        self.known.append(Known(job_id, there=True, place=place_now(self._log)))
        self._posted += 1

    def _delete(self, job_id: str) -> None:
        self._asked_to_go.add(job_id)
        assert self._service.delete(job_id)
        self.known.append(Known(job_id, there=False, place=place_now(self._log)))


def look_at(torn: Torn, snapshot: Snapshot, service: StormService, folder: Path) -> Iterator[str]:
    """Opens the database as the service would; one line for each thing that is not as it must be."""
    torn.write(folder)
    engine = open_engine(f"sqlite:///{folder}/{DATABASE}")
    try:
        with engine.begin() as tx:
            found = list(disagreements(tx, snapshot.files))
            there = {row["job_id"] for row in rows_of(tx, jobs)}
            turns = read_book(tx)
    except Exception as error:  # noqa: BLE001  # whatever it is, the database does not open
        found, there, turns = [f"it does not open: {error}"], set(), []
    finally:
        engine.dispose()
    if turns != live_turns(service, len(turns)):
        found.append("its history is not the beginning of what happened")
    for known in snapshot.certain(torn.kept):
        if known.there != (known.job_id in there):
            found.append(f"{known.job_id} is there: {not known.there}, and a client was told otherwise")
    yield from (f"{torn.kind} at {torn.kept} of {snapshot.wal.place.end}: {line}" for line in found)


def live_turns(service: StormService, count: int) -> list[Turn]:
    """The first turns of the jobs of the service that goes on."""
    with service.engine.begin() as tx:
        return read_book(tx)[:count]


def cut_the_power(service: StormService, client: Client, chance: random.Random) -> None:
    """Everything ends at once, and the log loses some of what may not have been synced; then all goes on."""
    snapshot = client.stop_everything(after=service.end)
    dead = service.worker_ids()  # nobody was left to strike them off
    service.engine.dispose()
    first, end = max(uncertain(snapshot.wal), snapshot.synced), snapshot.wal.place.end
    cut(snapshot, chance.randint(min(first, end), end), chance, "the service's own").write(service.data)
    service.faults.disarm()
    service.start(*ROLES, besides=dead)
    service.wait_until_done(120)
