"""SIGKILL at every failpoint, the first, second and third time, in the process that comes past it."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from media_inference.failpoints import Failpoint
from tests.stands.reference_store import ReferenceStore
from tests.storms.cells import LANES, Cell
from tests.storms.end_state import EndState
from tests.storms.lane import Lane
from tests.storms.ledger import Ledger, Verdict
from tests.storms.photos import Photo
from tests.storms.service import StormService, storm_service
from tests.storms.size import Size, size_from_environment

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1800)]

SAMPLE = ("submit.after_commit:1", "settle.after_promote:2", "charge.before_commit:1", "publish.after_upsert:1")
"""Cells that `make test` runs: one for each of API, worker, supervisor and publisher."""


def test_every_failpoint_is_in_the_matrix_and_there_are_more_than_a_hundred_cells() -> None:
    every = [cell for lane in LANES.values() for cell in lane]
    assert {cell.point for cell in every} == set(Failpoint)
    assert len(set(every)) == 3 * len(Failpoint)
    assert len(every) > 100


@pytest.mark.parametrize("name", LANES if size_from_environment().full else ["apart"])
def test_a_kill_at_any_failpoint_leaves_what_a_run_without_it_leaves(
    name: str, tmp_path: Path, known_photos: Mapping[str, Photo], size: Size
) -> None:
    chosen = [cell for cell in LANES[name] if size.full or str(cell) in SAMPLE]
    verdict = matrix(tmp_path, known_photos, name, chosen, size.broken)
    verdict.keep()
    assert verdict.clean, verdict


def matrix(
    folder: Path, known_photos: Mapping[str, Photo], name: str, chosen: Sequence[Cell], broken: str | None = None
) -> Verdict:
    """All cells on one service, one after the other; each has jobs and media items of its own."""
    ledger, begun = Ledger(f"matrix-{name}"), time.monotonic()
    with ExitStack() as stack:
        store = stack.enter_context(ReferenceStore(folder / "store")) if name == "reports" else None
        settings = {} if store is None else {"MEDIA_STORE_URL": store.url, "MEDIA_STORE_TOKEN": store.token or ""}
        service = stack.enter_context(
            storm_service(
                folder / "service",
                ledger,
                known_photos,
                settings=settings,
                broken=broken,
                put_media=None if store is None else store.put,
            )
        )
        api = "serve" if name == "apart" else "up"
        service.start(*(("serve", "worker") if name == "apart" else ("up",)))
        lane = Lane(service, api, known_photos)
        lane.prepare(chosen)
        for cell in chosen:
            lane.run(cell)
        kills = {role.name: len(role.exits) for role in service.roles.values()}
        assert set(service.stop().values()) == {0}
        end = service.end_state()
        verdict = ledger.judge(end, cells=len(chosen), kills=kills, seconds=round(time.monotonic() - begun))
        verdict.unexpected += leftovers(service, lane, known_photos)
        verdict.unexpected += service.audit({"files_staged", "files_orphaned"})
        verdict.lost += [] if store is None else missing_reports(store, end)
    name_cells(verdict, lane)
    return verdict


def leftovers(service: StormService, lane: Lane, known_photos: Mapping[str, Photo]) -> list[str]:
    """What a lane finds wrong beside its jobs: uploaded media without its content, orphans that nobody swept."""
    content = known_photos["one"].content
    files = {name: service.media_folder / name for name in lane.uploaded}
    damaged = [f"media item {name} was lost" for name, path in files.items() if path.read_bytes() != content]
    jobs = service.data / "inference" / "jobs"
    return damaged + [f"the orphan {name} was not swept" for name in lane.orphans if (jobs / name).exists()]


def missing_reports(store: ReferenceStore, end: EndState) -> list[str]:
    """Completed jobs of which the media store does not have exactly one report."""
    found = [
        result["job_id"]
        for media_id in {row["media_store_id"] for row in end.jobs.values() if row["status"] == "completed"}
        for result in store.results(media_id)
    ]
    completed = [job_id for job_id, row in end.jobs.items() if row["status"] == "completed"]
    return [f"{job_id} was reported {found.count(job_id)} times" for job_id in completed if found.count(job_id) != 1]


def name_cells(verdict: Verdict, lane: Lane) -> None:
    """Says at each finding in which cell it was."""
    for findings in (verdict.lost, verdict.unexpected, verdict.duplicated):
        for number, finding in enumerate(findings):
            cells = {str(cell) for job_id, cell in lane.cell_of.items() if job_id in finding}
            if cells:
                findings[number] = f"{finding} [{', '.join(sorted(cells))}]"
