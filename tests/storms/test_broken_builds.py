"""Each storm sees the broken builds that it is there for: small ones, on services without one of their guards."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from media_inference.failpoints import Failpoint
from tests.stands.scripted_qdrant import Behaviour
from tests.storms import (
    test_backup_storm,
    test_contention_storm,
    test_crash_matrix,
    test_disk_storm,
    test_drain_storm,
    test_events_storm,
    test_fsync_order,
    test_kill_storm,
    test_outage_storm,
    test_overload_storm,
    test_poison_storm,
    test_power_storm,
    test_reprocess_storm,
    test_submit_storm,
)
from tests.storms.broken import BROKEN_BUILDS
from tests.storms.cells import JOBS, Cell
from tests.storms.faults import Action
from tests.storms.ledger import Verdict
from tests.storms.photos import Photo
from tests.storms.size import size_from_environment

pytestmark = [pytest.mark.storm, pytest.mark.timeout(600)]

CELLS = {
    "answer_before_the_commit": Cell(Failpoint.SUBMIT_BEFORE_COMMIT, 1, JOBS),
    "files_after_the_commit": Cell(Failpoint.SETTLE_AFTER_COMMIT, 2, JOBS),
    "acknowledge_before_the_upsert": Cell(Failpoint.PUBLISH_BEFORE_UPSERT, 1, JOBS),
    "stale_points_stay": Cell(Failpoint.PUBLISH_AFTER_UPSERT, 1, JOBS),
    "report_noted_before_it_is_sent": Cell(Failpoint.UPLOAD_BEFORE_SEND, 1, JOBS),
}
"""Where it shows at once."""


def kill(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    return test_kill_storm.storm(folder, photos, 1, items=6, faults=4, broken=broken)


def matrix(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    return test_crash_matrix.matrix(folder, photos, "apart", [CELLS[broken]], broken)


def reports(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    return test_crash_matrix.matrix(folder, photos, "reports", [CELLS[broken]], broken)


def poison(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    batch = test_poison_storm.Batch(3, [Action.ABORT])
    return test_poison_storm.storm(folder, photos, photos["one"], batch, broken)


def drain(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    terms = {"worker": 2}
    return test_drain_storm.storm(folder, photos, test_drain_storm.NO_GRACE, terms, broken)


def power(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    return test_power_storm.storm(folder, photos, 1, snapshots=2, cuts=0, broken=broken)


def fsync_order(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    return test_fsync_order.storm(folder, photos, alone=3, crowd=4, broken=broken)


def contention(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    return test_contention_storm.storm(folder, photos, 3.0, workers=1, others=2, broken=broken)


def reprocess(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    return test_reprocess_storm.storm(folder, photos, 1, items=1, rounds=1, turns=("five", "two"), broken=broken)


def outage(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    strikes = [Failpoint.ACKNOWLEDGE_AFTER_COMMIT]
    return test_outage_storm.embedded_storm(folder, photos, 1, "serve", kills=1, strikes=strikes, broken=broken)


def outage_server(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    failures = [Behaviour.ERROR]
    return test_outage_storm.server_storm(folder, photos, 1, rounds=1, long=0.0, failures=failures, broken=broken)


def submit(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    keys, shared = (5, 0) if broken == "key_noted_apart" else (0, 20)  # two of one group: a matter of chance
    return test_submit_storm.storm(folder, photos, 1, keys=keys, shared=shared, kills=0, broken=broken)


def events(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    return test_events_storm.storm(folder, photos, 1, told=20, kills=1, cuts=4, readers=1, broken=broken)


def backup(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    return test_backup_storm.storm(folder, photos, 1, backups=1, broken=broken)


def disk(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    return test_disk_storm.storm(folder, photos, 1, full=["files"], broken=broken)


def overload(folder: Path, photos: Mapping[str, Photo], broken: str) -> Verdict:
    return test_overload_storm.storm(folder, photos, 4.0, broken)


STORMS: dict[str, Callable[[Path, Mapping[str, Photo], str], Verdict]] = {
    "kill": kill,
    "matrix": matrix,
    "reports": reports,
    "poison": poison,
    "drain": drain,
    "power": power,
    "fsync-order": fsync_order,
    "contention": contention,
    "reprocess": reprocess,
    "outage": outage,
    "outage-server": outage_server,
    "submit": submit,
    "events": events,
    "backup": backup,
    "disk": disk,
    "overload": overload,
}
SMALL = ("files_after_the_commit", "commit_early", "synchronous_normal")
"""What `make test` looks at; `make storms` looks at all."""


def test_every_storm_has_a_broken_build() -> None:
    assert {build.storm for build in BROKEN_BUILDS.values()} == set(STORMS)


@pytest.mark.parametrize("name", BROKEN_BUILDS if size_from_environment().full else SMALL)
def test_a_broken_build_is_seen(name: str, tmp_path: Path, known_photos: Mapping[str, Photo]) -> None:
    verdict = STORMS[BROKEN_BUILDS[name].storm](tmp_path, known_photos, name)
    verdict.storm = f"broken-{name}"
    verdict.keep()
    assert not verdict.clean
