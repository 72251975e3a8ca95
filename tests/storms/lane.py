"""A service that goes through cells of the crash matrix, one after the other."""

import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from media_inference.failpoints import Failpoint
from tests.stands.running_service import until
from tests.storms import cells
from tests.storms.cells import Cell
from tests.storms.faults import Action, Fault
from tests.storms.photos import Photo
from tests.storms.service import StormService

_LONG_AGO = 2 * 3600.0


class Lane:
    """Does a cell's work with the fault armed, and waits until everything is as if nothing had been.

    ``api`` is the role that has the API and the publisher.
    """

    def __init__(self, service: StormService, api: str, photos: Mapping[str, Photo]) -> None:
        self._service = service
        self._api = api
        self._photos = photos
        self._old: dict[Cell, list[str]] = {}
        self.cell_of: dict[str, Cell] = {}
        self.uploaded: list[str] = []
        self.orphans: list[str] = []

    def prepare(self, lane: Sequence[Cell]) -> None:
        """What must be there before: an item with two faces for each that replaces it, jobs for each that deletes."""
        for cell in lane:
            if cell.work == cells.JOBS:
                item = self._service.media("two", f"again-{cell.point.replace('.', '-')}-{cell.hit}")
                self._submit(cell, "face_embedding", item, "two")
                self._old[cell] = [item]
            if cell.work == cells.DELETES:
                item = self._service.media("one")
                self._old[cell] = [self._submit(cell, "face_detection", item, "one") for _ in cells.HITS]
        self._service.wait_until_done()

    def run(self, cell: Cell) -> None:
        """One cell; fails when the fault does not strike."""
        (number,) = self._service.faults.arm(Fault(cell.point, Action.KILL, cell.hit))
        _WORKS[cell.work](self, cell)
        (struck,) = until(lambda: self._service.faults.struck(number), bool)
        until(lambda: Path(f"/proc/{struck.pid}").exists(), lambda there: not there)  # or it might still answer
        until(self._service.answers, bool)
        self._service.wait_until_done()
        self._service.faults.disarm()

    def _do_jobs(self, cell: Cell) -> None:
        one, two, (again,) = self._service.media("one"), self._service.media("two"), self._old[cell]
        self._service.media("one", again)
        self._submit(cell, "face_embedding", again, "one")
        self._submit(cell, "image_embedding", one, "one")
        self._submit(cell, "face_embedding", two, "two")
        self._submit(cell, "face_detection", two, "two")
        for task_type in ("image_embedding", "face_detection", "face_embedding"):
            self._submit(cell, task_type, "missing", ("media_not_found",))

    def _do_deletes(self, cell: Cell) -> None:
        for job_id in self._old[cell]:
            while not self._service.delete(job_id):
                until(self._service.answers, bool)

    def _do_media(self, _cell: Cell) -> None:
        for _ in cells.HITS:
            self.uploaded.append(self._upload(self._photos["one"].content))

    def _do_retries(self, cell: Cell) -> None:
        items = [self._service.media("none") for _ in cells.HITS]
        self._service.faults.arm(*(Fault(Failpoint.FETCH_AFTER, Action.RAISE, subject=item) for item in items))
        for item in items:
            self._submit(cell, "image_embedding", item, "none")

    def _do_crashes(self, cell: Cell) -> None:
        items = [self._service.media("none") for _ in cells.HITS]
        self._service.faults.arm(*(Fault(Failpoint.FETCH_AFTER, Action.KILL, subject=item) for item in items))
        for item in items:
            self._submit(cell, "image_embedding", item, "none")

    def _do_orphans(self, _cell: Cell) -> None:
        for _ in cells.HITS:
            folder = self._service.data / "inference" / "jobs" / str(uuid.uuid4())
            folder.mkdir()
            (folder / "embedding.bin").write_bytes(b"nobody's")
            os.utime(folder, (time.time() - _LONG_AGO,) * 2)
            self.orphans.append(folder.name)
        api = self._service.roles[self._api]
        exits = len(api.exits)
        api.kill()
        api.wait_for_exits(exits + 2)  # this one, and that of the cell

    def _submit(self, cell: Cell, task_type: str, item: str, answer: str | tuple[str, ...]) -> str:
        """Posts until an answer comes, as a client would."""
        while (job_id := self._service.submit(task_type, item, answer)) is None:
            until(self._service.answers, bool)
        self.cell_of[job_id] = cell
        return job_id

    def _upload(self, content: bytes) -> str:
        while (media_store_id := self._service.upload(content)) is None:
            until(self._service.answers, bool)
        return media_store_id


_WORKS = {
    cells.JOBS: Lane._do_jobs,
    cells.DELETES: Lane._do_deletes,
    cells.UPLOADS_OF_MEDIA: Lane._do_media,
    cells.RETRIES: Lane._do_retries,
    cells.CRASHES: Lane._do_crashes,
    cells.ORPHANS: Lane._do_orphans,
}
