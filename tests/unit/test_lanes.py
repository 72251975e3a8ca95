"""Jobs side by side in one worker: how many, which, and what an urgent one has to wait for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.artifacts.local_store import LocalStore
from media_inference.errors import DatabaseUnavailable
from media_inference.jobs.job import Claim, NewJob
from media_inference.jobs.outcome import Findings
from media_inference.media.decoder import Decoder
from media_inference.media.folder_store import FolderStore
from media_inference.media.reader import Media, MediaReader
from media_inference.queue.engine import open_engine
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.migrate import migrate
from media_inference.queue.tables import jobs
from media_inference.queue.turns import Wish
from media_inference.queue.wake import Wake
from media_inference.queue.worker_records import WorkerRecords
from media_inference.tasks.task import Task
from media_inference.tasks.toolbox import Toolbox
from media_inference.worker.breakers import Breakers
from media_inference.worker.lease import LeaseKeeper
from media_inference.worker.loop import WorkerLoop
from media_inference.worker.next_jobs import NextJobs
from media_inference.worker.run_job import JobRunner
from media_inference.worker.settler import Settler
from tests.stands.model_files import builtin_toolbox

AT_ONCE = 3


class Shift:
    """A worker whose jobs wait at a gate; ``inside`` are those that have come to it."""

    def __init__(self, folder: Path) -> None:
        self.engine = open_engine(f"sqlite:///{folder}/test.db")
        migrate(self.engine)
        self.queue = JobQueue(self.engine)
        self.next_jobs = NextJobs(self.queue, "w")
        (folder / "1").write_bytes(b"not looked at")
        self.inside: list[str] = []
        self.looks = 0
        self.came = threading.Condition()
        self.gate = threading.Event()
        self.work, self.stop, self.told_to_stop = Wake.pipe(), Wake.pipe(), threading.Event()
        runner = JobRunner(
            queue=self.queue,
            settler=Settler(self.next_jobs.settle_some),
            media=MediaReader(FolderStore(folder), Decoder()),
            tasks={"test": Task("test", "waits", self.find, makes_vectors=False)},
            toolbox=builtin_toolbox(),
            artifacts=LocalStore(folder / "jobs"),
            max_retries=0,
            on_away=lambda _error: None,
        )
        self.loop = WorkerLoop(
            worker_id="w",
            queue=self.queue,
            runner=runner,
            keeper=LeaseKeeper(self.queue, WorkerRecords(self.engine, patience=30), "w", interval=60, job_timeout=600),
            breakers=Breakers({}),
            next_jobs=self.next_jobs,
            work=self.work,
            stop=self.stop,
            poll_interval=60,
            on_outcome=lambda: None,
            told_to_stop=self.told_to_stop,
            jobs_at_once=AT_ONCE,
        )
        check = self.loop.lanes.check

        def looked() -> None:
            with self.came:
                self.looks += 1
                self.came.notify_all()
            check()

        self.loop.lanes.check = looked  # type: ignore[method-assign]  # it is called once for each look

    def find(self, claim: Claim, _media: Media, _toolbox: Toolbox) -> Findings:
        gate = self.gate
        with self.came:
            self.inside.append(claim.job_id)
            self.came.notify_all()
        assert gate.wait(30)
        return Findings({})

    def let_go(self) -> None:
        """Opens the gate for those that are inside; others find a new one."""
        inside, self.gate = self.gate, threading.Event()
        inside.set()

    def wait_for_a_look(self) -> None:
        """Returns when the worker has looked for work, and done what it found."""
        for _ in range(2):  # the second look begins when the first one is over
            looks = self.looks
            self.work.ring()
            with self.came:
                assert self.came.wait_for(lambda seen=looks: self.looks > seen, 30)  # type: ignore[misc]  # binds now

    def submit(self, priority: int = 5) -> str:
        job_id = self.queue.submit(NewJob("test", "1", priority)).job_id
        self.work.ring()
        return job_id

    def wait_for_inside(self, count: int) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.inside) >= count, 30), self.inside

    @contextmanager
    def working(self) -> Iterator[None]:
        thread = threading.Thread(target=self.loop.run)
        thread.start()
        try:
            yield
        finally:
            self.gate.set()
            self.told_to_stop.set()
            self.stop.ring()
            thread.join(30)
        assert not thread.is_alive()

    def statuses(self) -> list[str]:
        with self.engine.connect() as connection:
            return list(connection.scalars(sa.select(jobs.c.status).order_by(jobs.c.created_at)))


@pytest.fixture
def shift(tmp_path: Path) -> Shift:
    return Shift(tmp_path)


def test_as_many_jobs_are_under_way_as_there_may_be_and_one_more_of_the_highest_priority(shift: Shift) -> None:
    with shift.working():
        submitted = [shift.submit() for _ in range(AT_ONCE + 2)]
        shift.wait_for_inside(AT_ONCE)
        shift.submit(priority=9)
        urgent = [shift.submit(priority=10) for _ in range(2)]
        shift.wait_for_inside(AT_ONCE + 1)
        assert set(shift.inside) == {*submitted[:AT_ONCE], urgent[0]}
        shift.gate.set()
        shift.wait_for_inside(AT_ONCE + 5)
    assert shift.statuses() == ["completed"] * (AT_ONCE + 5)


def test_a_job_that_is_to_run_alone_waits_until_nothing_is_under_way_and_has_no_company(shift: Shift) -> None:
    suspects = [shift.submit(), shift.submit()]
    assert len(shift.queue.claim_some("dead", Wish(2))) == 2
    shift.queue.charge_worker("dead")
    first, *after = [shift.submit(priority=6), shift.submit(), shift.submit(priority=4)]
    with shift.working():
        for number, job_id in enumerate([first, *suspects]):
            shift.wait_for_inside(number + 1)
            shift.wait_for_a_look()
            assert shift.inside == [first, *suspects][: number + 1]
            if job_id in suspects:
                urgent = shift.submit(priority=10)  # it would have a lane of its own
                shift.wait_for_a_look()
                assert urgent not in shift.inside
                shift.queue.delete(urgent)
            shift.let_go()
        shift.wait_for_inside(5)
        shift.let_go()
    assert set(shift.inside[3:]) == set(after)


def test_a_worker_that_is_told_to_stop_finishes_what_is_under_way_and_takes_nothing_more(shift: Shift) -> None:
    with shift.working():
        for _ in range(AT_ONCE + 2):
            shift.submit()
        shift.wait_for_inside(AT_ONCE)
        shift.told_to_stop.set()
    assert sorted(shift.statuses()) == ["completed"] * AT_ONCE + ["pending"] * 2


def test_a_lane_that_ends_has_its_next_job_with_the_same_commit(shift: Shift) -> None:
    submitted = [shift.submit() for _ in range(AT_ONCE + 1)]
    claimed = list[str]()
    hold = shift.next_jobs.hold

    def held(claim: Claim) -> None:
        claimed.append(claim.job_id)
        hold(claim)

    shift.next_jobs.hold = held
    with shift.working():
        shift.wait_for_inside(AT_ONCE)
        shift.wait_for_a_look()
        shift.let_go()
        shift.wait_for_inside(AT_ONCE + 1)
    assert claimed == submitted[AT_ONCE:]
    assert shift.statuses() == ["completed"] * (AT_ONCE + 1)


def test_what_was_claimed_as_the_worker_was_told_to_stop_is_given_back_uncharged(shift: Shift) -> None:
    *_, last = [shift.submit() for _ in range(AT_ONCE + 1)]
    hold, claimed = shift.next_jobs.hold, threading.Event()

    def told_to_stop_as_it_is_claimed(claim: Claim) -> None:
        hold(claim)
        shift.told_to_stop.set()
        claimed.set()

    shift.next_jobs.hold = told_to_stop_as_it_is_claimed
    with shift.working():
        shift.wait_for_inside(AT_ONCE)
        shift.wait_for_a_look()
        shift.let_go()
        assert claimed.wait(30)
    assert sorted(shift.statuses()) == ["completed"] * AT_ONCE + ["pending"]
    again = shift.queue.claim("other")
    assert again is not None
    assert (again.job_id, again.attempt, again.releases) == (last, 1, 1)


def test_a_mistake_of_our_own_ends_the_worker_instead_of_keeping_a_lane(shift: Shift) -> None:
    def mistaken() -> None:
        raise RuntimeError("a mistake")

    shift.loop.on_outcome = mistaken
    shift.gate.set()
    shift.submit()
    with pytest.raises(RuntimeError, match="a mistake"):
        shift.loop.run()


def test_outcomes_are_settled_whatever_becomes_of_the_wish_for_more(shift: Shift) -> None:
    def fails(_ending: int) -> Wish | None:
        raise DatabaseUnavailable("locked")

    shift.next_jobs.wish = fails
    for _ in range(AT_ONCE + 1):
        shift.submit()
    with shift.working():
        shift.wait_for_inside(AT_ONCE)
        shift.let_go()
        shift.wait_for_inside(AT_ONCE + 1)
    assert shift.statuses() == ["completed"] * (AT_ONCE + 1)
    assert len(set(shift.inside)) == AT_ONCE + 1, "none ran twice"
