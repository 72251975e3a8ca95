"""The cells of the crash matrix: which process comes past which failpoint over what work."""

from dataclasses import dataclass

from media_inference.failpoints import Failpoint

JOBS, DELETES, UPLOADS_OF_MEDIA, RETRIES, CRASHES, ORPHANS = "jobs", "deletes", "media", "retries", "crashes", "orphans"
"""The works: what a cell has the service do. See `Lane` in test_crash_matrix.py."""

API = {
    Failpoint.SUBMIT_BEFORE_COMMIT: JOBS,
    Failpoint.SUBMIT_AFTER_COMMIT: JOBS,
    Failpoint.SUBMIT_BEFORE_ANSWER: JOBS,
    Failpoint.DELETE_BEFORE_COMMIT: DELETES,
    Failpoint.DELETE_AFTER_COMMIT: DELETES,
    Failpoint.DELETE_AFTER_FILES: DELETES,
    Failpoint.ADD_MEDIA_BEFORE_LINK: UPLOADS_OF_MEDIA,
    Failpoint.ADD_MEDIA_AFTER_LINK: UPLOADS_OF_MEDIA,
    Failpoint.SWEEP_BEFORE_REMOVE: ORPHANS,
    Failpoint.SWEEP_AFTER_REMOVE: ORPHANS,
}
WORKER = {
    Failpoint.CLAIM_BEFORE_COMMIT: JOBS,
    Failpoint.CLAIM_AFTER_COMMIT: JOBS,
    Failpoint.FETCH_AFTER: JOBS,
    Failpoint.DECODE_AFTER: JOBS,
    Failpoint.FIND_AFTER: JOBS,
    Failpoint.STAGE_AFTER: JOBS,
    Failpoint.SETTLE_BEFORE_PROMOTE: JOBS,
    Failpoint.SETTLE_AFTER_PROMOTE: JOBS,
    Failpoint.SETTLE_AFTER_COMMIT: JOBS,
    Failpoint.RETRY_BEFORE_COMMIT: RETRIES,
    Failpoint.RETRY_AFTER_COMMIT: RETRIES,
    Failpoint.FAIL_BEFORE_COMMIT: JOBS,
    Failpoint.FAIL_AFTER_COMMIT: JOBS,
}
SUPERVISOR = {Failpoint.CHARGE_BEFORE_COMMIT: CRASHES, Failpoint.CHARGE_AFTER_COMMIT: CRASHES}
PUBLISHER = {
    Failpoint.PUBLISH_BEFORE_UPSERT: JOBS,
    Failpoint.PUBLISH_AFTER_UPSERT: JOBS,
    Failpoint.PUBLISH_AFTER_DELETE: JOBS,
    Failpoint.ACKNOWLEDGE_BEFORE_COMMIT: JOBS,
    Failpoint.ACKNOWLEDGE_AFTER_COMMIT: JOBS,
}
REPORTS = {Failpoint.UPLOAD_BEFORE_SEND: JOBS, Failpoint.UPLOAD_AFTER_SEND: JOBS, Failpoint.UPLOAD_AFTER_NOTE: JOBS}

HITS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Cell:
    """The process is killed the ``hit``-th time that it comes past ``point``, while it does ``work``."""

    point: Failpoint
    hit: int
    work: str

    def __str__(self) -> str:
        return f"{self.point}:{self.hit}"


def cells(*rows: dict[Failpoint, str]) -> list[Cell]:
    """Every point of the rows, at every hit."""
    return [Cell(point, hit, work) for row in rows for point, work in row.items() for hit in HITS]


LANES = {
    "apart": cells(API, WORKER, SUPERVISOR, PUBLISHER),
    "together": cells(API, PUBLISHER),
    "reports": cells(REPORTS),
}
"""``apart``: `serve` and `worker`; ``together``: `up`; ``reports``: `up` in front of a media_store service."""
