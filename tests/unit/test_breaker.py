"""The circuit breaker between a worker and what it needs."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from media_inference.errors import DatabaseUnavailable, Dependency, DependencyAway, ErrorCode, TransientError
from media_inference.jobs.retry import Backoff
from media_inference.queue.engine import open_engine
from media_inference.queue.migrate import migrate
from media_inference.queue.outages import OutageRecords
from media_inference.room import no_room
from media_inference.worker.breaker import Breaker
from media_inference.worker.breakers import Breakers


class Store:
    """A dependency that a test takes away, and a breaker in front of it, with a clock of their own."""

    def __init__(self, folder: Path) -> None:
        self.engine = open_engine(f"sqlite:///{folder}/test.db")
        migrate(self.engine)
        self.outages = OutageRecords(self.engine, clock=lambda: 1234)
        self.away = False
        self.probes = 0
        self.now = 100.0
        self.breaker = self.make_breaker()

    def make_breaker(self, watch: Callable[[], None] = lambda: None) -> Breaker:
        return Breaker(
            Dependency.MEDIA_STORE,
            self.probe,
            self.outages,
            watch=watch,
            backoff=Backoff(first=1.0, longest=4.0),
            monotonic=lambda: self.now,
            chance=lambda: 1.0,
        )

    def probe(self) -> None:
        self.probes += 1
        if self.away:
            raise TransientError(ErrorCode.MEDIA_UNAVAILABLE, "nobody there")

    def trip(self, retry_after: float | None = None) -> None:
        self.away = True
        error = DependencyAway(
            Dependency.MEDIA_STORE, ErrorCode.MEDIA_UNAVAILABLE, "nobody there", retry_after=retry_after
        )
        self.breaker.trip(error)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_a_closed_breaker_costs_no_probe(store: Store) -> None:
    assert store.breaker.closed()
    assert (store.probes, store.breaker.wait(), store.outages.current()) == (0, 0.0, [])


def test_a_tripped_breaker_is_on_record_with_its_beginning_and_reason(store: Store) -> None:
    store.trip()
    assert not store.breaker.closed()
    (outage,) = store.outages.current()
    assert (outage.dependency, outage.since, outage.reason) == (Dependency.MEDIA_STORE, 1234, "nobody there")


def test_who_settles_is_told_at_once_whether_work_may_go_on_and_probes_nothing(store: Store) -> None:
    both = Breakers({Dependency.MEDIA_STORE: store.breaker})
    assert both.well()
    store.trip()
    store.now += 1000
    assert not both.well(), "it is time for a probe, but whoever settles does not wait for one"
    assert store.probes == 0
    store.away = False
    assert both.closed()
    assert both.well()


def test_probes_come_after_growing_delays_and_the_first_good_one_closes_it(store: Store) -> None:
    store.trip()
    waits = []
    for _ in range(4):
        waits.append(store.breaker.wait())
        assert not store.breaker.closed()
        store.now += store.breaker.wait()
        assert not store.breaker.closed()
    assert (waits, store.probes) == ([1.0, 2.0, 4.0, 4.0], 4)
    store.away = False
    store.now += 4.0
    assert store.breaker.closed()
    assert store.outages.current() == []
    assert store.breaker.wait() == 0.0


def test_the_other_side_is_left_alone_for_as_long_as_it_asked(store: Store) -> None:
    store.trip(retry_after=60.0)
    assert store.breaker.wait() == 60.0


def test_an_outage_of_an_earlier_worker_holds_until_a_probe_succeeds(store: Store) -> None:
    store.trip()
    later = store.make_breaker()
    later.resume()
    assert not later.closed()
    assert store.probes == 1
    store.away = False
    store.now += later.wait()
    assert later.closed()
    assert store.outages.current() == []


def test_a_breaker_without_an_outage_on_record_resumes_closed(store: Store) -> None:
    store.breaker.resume()
    assert store.breaker.closed()
    assert store.probes == 0


def test_a_store_that_answers_the_probe_but_refuses_work_is_left_alone_for_longer_each_time(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    waits = []
    for _ in range(8):
        store.trip()
        waits.append(store.breaker.wait())
        store.away = False
        store.now += store.breaker.wait()
        assert store.breaker.closed()
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 20.0]
    store.breaker.worked()
    logged = capsys.readouterr().out
    assert (logged.count("dependency.away"), logged.count("dependency.back")) == (1, 1)
    store.trip()
    assert store.breaker.wait() == 1.0


def test_an_attempt_that_ends_while_it_is_open_closes_nothing(store: Store) -> None:
    store.trip()
    store.breaker.worked()
    assert not store.breaker.closed()


def test_a_watch_that_raises_trips_the_breaker_before_anything_is_tried(store: Store) -> None:
    store.breaker = store.make_breaker(watch=store.probe)
    assert store.breaker.closed()
    store.away = True
    assert not store.breaker.closed()
    (outage,) = store.outages.current()
    assert outage.reason == "nobody there"
    store.away = False
    store.now += store.breaker.wait()
    assert store.breaker.closed()
    assert store.outages.current() == []


def test_breakers_are_closed_while_all_of_them_are_and_each_hears_of_its_own_dependency(store: Store) -> None:
    disk = Breaker(Dependency.STORAGE, lambda: None, store.outages, monotonic=lambda: store.now, chance=lambda: 1.0)
    both = Breakers({Dependency.MEDIA_STORE: store.breaker, Dependency.STORAGE: disk})
    assert (both.closed(), both.wait()) == (True, 0.0)
    both.trip(no_room("result files"))
    assert (store.breaker.closed(), disk.closed(), both.closed()) == (True, False, False)
    assert both.wait() == 0.5
    (outage,) = store.outages.current()
    assert (outage.dependency, outage.reason) == (Dependency.STORAGE, "there is no room for result files")
    store.now += both.wait()
    assert both.closed()
    both.worked()
    assert store.outages.current() == []


def test_an_outage_that_could_not_be_taken_off_the_record_is_not_forgotten(store: Store) -> None:
    store.trip()
    store.away = False
    store.now += store.breaker.wait()
    with sqlite3.connect(store.engine.url.database or "") as database:
        database.execute("ALTER TABLE outages RENAME TO hidden")
    with pytest.raises(DatabaseUnavailable):
        store.breaker.closed()
    with sqlite3.connect(store.engine.url.database or "") as database:
        database.execute("ALTER TABLE hidden RENAME TO outages")
    assert store.breaker.closed()
    assert store.outages.current() == []
