"""Readers are cut and publishers killed, and still every reader hears of every event, once and in order."""

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.failpoints import Failpoint
from media_inference.queue.tables import events
from media_inference.tasks.catalog import TASKS
from tests.stands.running_service import until
from tests.storms.end_state import EndState
from tests.storms.faults import Action, Fault
from tests.storms.ledger import Ledger, Verdict
from tests.storms.photos import Photo
from tests.storms.readers import Heard, Reader
from tests.storms.service import StormService, storm_service
from tests.storms.size import Size

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1800)]

STRIKES = (None, Failpoint.ACKNOWLEDGE_BEFORE_COMMIT, Failpoint.ACKNOWLEDGE_AFTER_COMMIT)
"""Where API and publisher are killed: anywhere, or beside the commit of an event."""


def test_every_reader_hears_of_every_event_once_and_in_order(
    tmp_path: Path, known_photos: Mapping[str, Photo], size: Size
) -> None:
    told, kills, cuts, readers = size.of((30, 1, 6, 2), (2000, 50, 100, 4))
    verdict = storm(
        tmp_path, known_photos, size.seeds[0], told=told, kills=kills, cuts=cuts, readers=readers, broken=size.broken
    )
    verdict.keep()
    assert verdict.clean, verdict


def storm(
    folder: Path,
    known_photos: Mapping[str, Photo],
    seed: int,
    *,
    told: int,
    kills: int,
    cuts: int,
    readers: int,
    broken: str | None = None,
) -> Verdict:
    """``told``: at least so many events; a kill after each share of them; each of the ``readers`` has its ``cuts``."""
    ledger, chance, begun = Ledger("events", seed), random.Random(seed), time.monotonic()  # noqa: S311  # not a secret
    with storm_service(folder, ledger, known_photos, broken=broken) as service:
        service.start("serve", "worker")
        stay = max(1, told * readers // max(1, cuts))
        following = [
            Reader(service, random.Random(seed + number), cuts // readers, stay)  # noqa: S311  # 〃
            for number in range(readers)
        ]
        over = threading.Event()
        client = threading.Thread(target=post_until, args=(service, over, random.Random(seed)))  # noqa: S311  # 〃
        client.start()
        for number in range(kills):
            share = (number + 1) * told // (kills + 1)
            until(partial(newest, service), share.__le__, patience=600)
            strike(service, chance)
        until(partial(newest, service), told.__le__, patience=600)
        until(lambda: all(reader.cuts_left == 0 for reader in following), bool, patience=600)
        over.set()
        client.join()
        service.wait_until_done(300)
        last = newest(service)
        wait_for_all(following, last)
        died = len(service.roles["serve"].exits)
        for reader in following:
            reader.leave()
        assert set(service.stop().values()) == {0}
        for reader in following:
            reader.end()
        end = service.end_state()
    verdict = ledger.judge(
        end,
        events=len(end.events),
        kills=died,
        readers=readers,
        cuts=cuts,
        connections=sum(reader.connections for reader in following),
        seconds=round(time.monotonic() - begun),
    )
    for number, reader in enumerate(following):
        compare(verdict, number, reader, end)
    return verdict


def newest(service: StormService) -> int:
    """The id of the newest event."""
    return service.count(sa.select(sa.func.max(events.c.event_id)))


def post_until(service: StormService, over: threading.Event, chance: random.Random) -> None:
    """Keeps some jobs waiting, whatever happens to the API; one in ten is deleted."""
    while not over.is_set():
        until(lambda: over.is_set() or (service.answers() and service.unfinished() < 12), bool, patience=120)
        photo = chance.choice(("two", "one", "none"))
        item = service.media(photo)
        for task_type in sorted(TASKS):
            job_id = service.submit(task_type, item, photo)
            if job_id is not None and chance.random() < 0.1:
                service.delete(job_id)


def strike(service: StormService, chance: random.Random) -> None:
    """Kills the API with its publisher, and returns when it is there again."""
    api, point = service.roles["serve"], chance.choice(STRIKES)
    exits = len(api.exits)
    if point is None:
        api.kill()
    else:
        service.faults.arm(Fault(point, Action.KILL))
    api.wait_for_exits(exits + 1)
    until(service.answers, bool)


def wait_for_all(readers: Sequence[Reader], last: int) -> None:
    """Returns when all have heard of the last event, or when one of them does not come to it."""
    with suppress(AssertionError):
        until(lambda: [reader.position for reader in readers], lambda positions: min(positions) >= last)


def compare(verdict: Verdict, number: int, reader: Reader, end: EndState) -> None:
    """What a reader heard, held against the events that there are."""
    there = [Heard(row["event_id"], row["type"], row["job_id"]) for row in end.events]
    times = Counter(reader.heard)
    verdict.lost += [f"reader {number} never heard of {event}" for event in there if not times[event]]
    verdict.duplicated += [
        f"reader {number} heard {times[event]} times of {event}" for event in times if times[event] > 1
    ]
    verdict.unexpected += [f"reader {number} heard of {event}" for event in times.keys() - set(there)]
    ids = [event.event_id for event in reader.heard]
    if ids != sorted(ids):
        verdict.unexpected.append(f"reader {number} heard of events in another order than they happened")
    if reader.resets:
        verdict.unexpected.append(f"reader {number} was told {reader.resets} times that it can't go on")
