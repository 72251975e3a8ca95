"""SIGTERM again and again while jobs run and clients post."""

import random
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from media_inference.tasks.catalog import TASKS
from tests.stands.running_service import until
from tests.storms.end_state import charged
from tests.storms.ledger import Ledger, Verdict
from tests.storms.photos import Photo
from tests.storms.service import NOBODY_DIES, StormService, storm_service
from tests.storms.size import Size

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1800)]

GRACE = 10.0
NO_GRACE = 0.01
"""Too short for a job that runs: it has to be given back."""
ALLOWANCE = 8.0
"""Seconds beside the grace: to close connections, to publish what is settled, and to be noticed on a busy machine."""


@pytest.mark.parametrize("grace", [GRACE, NO_GRACE], ids=["finishing", "giving_back"])
def test_a_service_that_is_told_to_stop_exits_0_in_time_and_neither_loses_nor_charges_a_job(
    grace: float, tmp_path: Path, known_photos: Mapping[str, Photo], size: Size
) -> None:
    small: Mapping[str, int] = {"up": 1} if grace == GRACE else {"serve": 1, "worker": 1}
    terms = size.of(small, {"up": 15, "serve": 10, "worker": 25})
    verdict = storm(tmp_path, known_photos, grace, terms, size.broken)
    verdict.keep()
    assert verdict.clean, verdict


def storm(
    folder: Path, known_photos: Mapping[str, Photo], grace: float, terms: Mapping[str, int], broken: str | None = None
) -> Verdict:
    """``terms``: how many SIGTERMs each role gets, `up` in one service, `serve` and `worker` in another."""
    chance, verdicts = random.Random(1), []  # noqa: S311  # not a secret
    for number, roles in enumerate((("up",), ("serve", "worker"))):
        if not terms.keys() & set(roles):
            continue
        settings = NOBODY_DIES | {"SHUTDOWN_GRACE": str(grace)}
        with storm_service(
            folder / str(number), Ledger("drain"), known_photos, settings=settings, broken=broken
        ) as service:
            service.start(*roles)
            slowest, problems = drain(service, {role: terms.get(role, 0) for role in roles}, chance)
            end = service.end_state()
        verdict = service.ledger.judge(end, slowest_exit_s=round(slowest, 1))
        verdict.unexpected += problems
        verdict.unexpected += charged(end)
        verdict.figures["released"] = sum(row["releases"] for row in end.jobs.values())
        verdicts.append(verdict)
    return together("drain" if grace == GRACE else "drain-without-grace", verdicts, sum(terms.values()))


def drain(service: StormService, terms: Mapping[str, int], chance: random.Random) -> tuple[float, list[str]]:
    """Sends the signals in any order, each to a role that is ready; returns the slowest exit and what went wrong."""
    over = threading.Event()
    client = threading.Thread(target=post_until, args=(service, over, random.Random(1)))  # noqa: S311
    client.start()
    slowest, grace = 0.0, float(service.environment["SHUTDOWN_GRACE"])
    order = [name for name, times in terms.items() for _ in range(times)]
    chance.shuffle(order)
    for name in order:
        service.wait_until_ready(1)
        until(service.running, bool)
        role = service.roles[name]
        exits, begun = len(role.exits), time.monotonic()
        role.terminate()
        role.wait_for_exits(exits + 1)
        slowest = max(slowest, time.monotonic() - begun)
    over.set()
    client.join()
    service.wait_until_done()
    service.wait_until_ready(1)
    last = service.stop()
    codes = [(name, code) for name, role in service.roles.items() for code in (*role.exits, last[name])]
    problems = [f"{name} exited with {code}" for name, code in codes if code != 0]
    if slowest > grace + ALLOWANCE:
        problems.append(f"an exit took {slowest:.1f} s, with a grace of {grace:g} s")
    return slowest, problems


def post_until(service: StormService, over: threading.Event, chance: random.Random) -> None:
    """Keeps some jobs waiting, whatever happens to the API."""
    while not over.is_set():
        until(lambda: over.is_set() or (service.answers() and service.unfinished() < 12), bool, patience=120)
        photo = chance.choice(("two", "one", "none"))
        item = service.media(photo)
        for task_type in sorted(TASKS):
            service.submit(task_type, item, photo)


def together(name: str, verdicts: list[Verdict], terms: int) -> Verdict:
    """One verdict on both services."""
    sums = Verdict(name, None, figures={"sigterms": terms})
    for verdict in verdicts:
        sums.acknowledged += verdict.acknowledged
        sums.recovered += verdict.recovered
        sums.lost += verdict.lost
        sums.unexpected += verdict.unexpected
        sums.duplicated += verdict.duplicated
    sums.figures["released"] = sum(verdict.figures["released"] for verdict in verdicts)
    sums.figures["slowest_exit_s"] = max(verdict.figures["slowest_exit_s"] for verdict in verdicts)
    return sums
