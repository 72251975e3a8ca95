"""The vector store goes away while jobs run, in every way that it can; afterwards it has what the database says."""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.failpoints import Failpoint
from media_inference.queue.tables import outages, outbox
from tests.stands.running_service import until
from tests.stands.scripted_qdrant import Behaviour, ScriptedQdrant, scripted_qdrant
from tests.storms.end_state import charged
from tests.storms.faults import Action, Fault
from tests.storms.ledger import Ledger, Verdict
from tests.storms.load import Load, submit_until_answered
from tests.storms.photos import Photo
from tests.storms.service import NOBODY_DIES, StormService, storm_service
from tests.storms.size import Size

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1800)]

STRIKES = (
    Failpoint.PUBLISH_BEFORE_UPSERT,
    Failpoint.PUBLISH_AFTER_UPSERT,
    Failpoint.PUBLISH_AFTER_DELETE,
    Failpoint.ACKNOWLEDGE_AFTER_COMMIT,
)
FAILURES = [behaviour for behaviour in Behaviour if behaviour is not Behaviour.SERVE]
LONG = (Behaviour.GONE, Behaviour.HANG, Behaviour.BUSY)


def test_the_embedded_store_has_every_point_after_its_owner_was_killed_again_and_again(
    tmp_path: Path, known_photos: Mapping[str, Photo], size: Size, seed: int
) -> None:
    owners = size.of({"serve": 4}, {"serve": 40, "up": 10})
    for owner, kills in owners.items():
        verdict = embedded_storm(tmp_path / owner, known_photos, seed, owner, kills=kills, broken=size.broken)
        verdict.keep()
        assert verdict.clean, verdict


def test_a_server_has_every_point_after_every_kind_of_outage(
    tmp_path: Path, known_photos: Mapping[str, Photo], size: Size, seed: int
) -> None:
    rounds, long = size.of((1, 0.0), (7, 60.0))
    verdict = server_storm(tmp_path, known_photos, seed, rounds=rounds, long=long, broken=size.broken)
    verdict.keep()
    assert verdict.clean, verdict


def embedded_storm(
    folder: Path,
    known_photos: Mapping[str, Photo],
    seed: int,
    owner: str,
    *,
    kills: int,
    strikes: Sequence[Failpoint] = STRIKES,
    broken: str | None = None,
) -> Verdict:
    """Its owner is killed so many times: at each of ``strikes`` in turn, and every other time anywhere else."""
    ledger, begun = Ledger(f"outage-{owner}", seed), time.monotonic()
    chance = random.Random(seed)  # noqa: S311  # not a secret
    with storm_service(folder, ledger, known_photos, broken=broken) as service:
        roles = (owner,) if owner == "up" else (owner, "worker-1", "worker-2")
        service.start(*roles, workers=2 if owner == "up" else 1)
        with Load(service, random.Random(seed)):  # noqa: S311  # not a secret
            for number in range(kills):
                at = strikes[number // 2 % len(strikes)] if number % 2 == 0 else None
                kill_the_owner(service, owner, at, hit=chance.randint(1, 3))
        service.wait_until_done(300)
        assert set(service.stop().values()) == {0}
        return ledger.judge(service.end_state(), kills=kills, seconds=round(time.monotonic() - begun))


def kill_the_owner(service: StormService, owner: str, at: Failpoint | None, hit: int = 1) -> None:
    """One kill, while there is something to publish; returns when it answers again."""
    role = service.roles[owner]
    exits = len(role.exits)
    if at is None:
        until(lambda: service.count(sa.select(sa.func.count()).select_from(outbox)), bool)
        role.kill()
    else:
        service.faults.arm(Fault(at, Action.KILL, hit))
    role.wait_for_exits(exits + 1)
    until(service.answers, bool)


def server_storm(
    folder: Path,
    known_photos: Mapping[str, Photo],
    seed: int,
    *,
    rounds: int,
    long: float,
    failures: Sequence[Behaviour] = FAILURES,
    broken: str | None = None,
) -> Verdict:
    """Each failure in each round until it is noticed; then one outage of ``long`` seconds."""
    ledger, begun = Ledger("outage-server", seed), time.monotonic()
    chance = random.Random(seed)  # noqa: S311  # not a secret
    with scripted_qdrant() as (stand, engine):
        settings = NOBODY_DIES | {"QDRANT_URL": stand.url, "QDRANT_TIMEOUT": "1"}
        with storm_service(folder, ledger, known_photos, settings=settings, broken=broken) as service:
            service.start("serve", "worker-1", "worker-2")
            with Load(service, random.Random(seed)):  # noqa: S311  # not a secret
                for _ in range(rounds):
                    for failure in chance.sample(failures, len(failures)):
                        fail(stand, failure, service)
                meanwhile = last(stand, service, long) if long else 0
            service.wait_until_done(300)
            assert set(service.stop().values()) == {0}
            end = replace(service.end_state(), points=engine.points())
    figures = {"outages": rounds * len(failures), "requests_failed": len(stand.failed)}
    if long:
        figures |= {"longest_outage_s": round(long), "done_meanwhile": meanwhile}
    verdict = ledger.judge(end, **figures, seconds=round(time.monotonic() - begun))
    verdict.unexpected += list(charged(end))
    return verdict


def fail(stand: ScriptedQdrant, failure: Behaviour, service: StormService) -> None:
    """One outage: until the service has noticed it, and then until it has noticed that it is over."""
    failed = len(stand.failed)
    stand.behave(failure)
    match failure:
        case Behaviour.GONE:
            until(lambda: is_on_record(service), bool)
        case Behaviour.CUT_OFF:
            until(lambda: [request for request in stand.failed[failed:] if "/points" in request], bool)
        case _:
            until(lambda: stand.failed[failed:], bool)
    served = len(stand.served)
    stand.behave(Behaviour.SERVE)
    until(lambda: stand.served[served:], bool)
    until(lambda: is_on_record(service), lambda on_record: not on_record)


def last(stand: ScriptedQdrant, service: StormService, seconds: float) -> int:
    """One long outage of several kinds, in which the owner starts anew; returns how many jobs were done meanwhile."""
    done = 0
    for failure in LONG:
        over = time.monotonic() + seconds / len(LONG)
        stand.behave(failure)
        if failure is Behaviour.GONE:
            kill_the_owner(service, "serve", None)
        while time.monotonic() < over:
            detect(service)
            done += 1
    stand.behave(Behaviour.SERVE)
    return done


def detect(service: StormService) -> None:
    """A job that needs no vector store, from beginning to end."""
    job_id = submit_until_answered(service, "face_detection", service.media("one"), "one", priority=10)
    until(lambda: service.job(job_id)["status"], lambda status: status == "completed")


def is_on_record(service: StormService) -> bool:
    """Whether the service knows of an outage."""
    return service.count(sa.select(sa.func.count()).select_from(outages)) > 0
