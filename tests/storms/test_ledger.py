"""The ledger sees what it is there for: each kind of damage, done by hand to an end state that was clean."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from media_inference.vectors.store import Point
from tests.storms.effects import effects
from tests.storms.end_state import EndState
from tests.storms.history import Turn
from tests.storms.ledger import Ledger, Verdict
from tests.storms.photos import Photo

EMBEDDED, DETECTED, REFUSED = "job-1", "job-2", "job-3"
FACE = ("faces", 7000)


@pytest.fixture
def end(known_photos: Mapping[str, Photo]) -> EndState:
    """Three jobs that ended as they should: two faces embedded, one detected, and one refused."""
    embedded = effects("face_embedding", known_photos["two"], "7", EMBEDDED)
    detected = effects("face_detection", known_photos["one"], "8", DETECTED)
    return EndState(
        jobs={
            EMBEDDED: row("face_embedding", "7", result=embedded.result),
            DETECTED: row("face_detection", "8", result=detected.result, crashes=1, attempts=2),
            REFUSED: row("image_embedding", "9", status="failed", error_code="media_not_found"),
        },
        queue=[],
        outbox=[],
        sets=[{"set_id": 1, "collection": "faces", "media_store_id": "7", "job_id": EMBEDDED}],
        sync={},
        history=[Turn(EMBEDDED, "ended", 1), Turn(EMBEDDED, "accepted", 1), Turn(EMBEDDED, "completed", 1)],
        events=[
            *told(EMBEDDED, "queued", 1, "completed"),
            *told(DETECTED, "queued", 1, 2, "completed"),
            *told(REFUSED, "queued", 1, "failed"),
        ],
        points=dict(embedded.points),
        files={EMBEDDED: dict(embedded.files), DETECTED: dict(detected.files)},
        log=[],
        damage=[],
    )


def told(job_id: str, *what: str | int) -> list[dict[str, Any]]:
    """Events of a job; a number is a started attempt."""
    return [
        {"job_id": job_id, "type": "started", "data": {"attempt": item}}
        if isinstance(item, int)
        else {"job_id": job_id, "type": item, "data": {}}
        for item in what
    ]


def row(task_type: str, media_store_id: str, **values: Any) -> dict[str, Any]:
    """A row of `jobs`; completed at the first attempt, unless told otherwise."""
    counters = {"attempts": 1, "crashes": 0, "failures": 0, "releases": 0}
    return {
        "task_type": task_type,
        "media_store_id": media_store_id,
        "status": "completed",
        "result": None,
        "error_code": None,
        **counters,
        **values,
    }


@pytest.fixture
def ledger(known_photos: Mapping[str, Photo]) -> Ledger:
    """What the clients of those jobs were told."""
    told = Ledger("by hand")
    told.acknowledge(EMBEDDED, "face_embedding", "7", known_photos["two"])
    told.acknowledge(DETECTED, "face_detection", "8", known_photos["one"])
    told.acknowledge(REFUSED, "image_embedding", "9", ("media_not_found",))
    return told


def test_a_clean_end_is_clean_and_a_job_that_was_struck_has_recovered(ledger: Ledger, end: EndState) -> None:
    verdict = ledger.judge(end)
    assert verdict.clean, verdict
    assert (verdict.acknowledged, verdict.recovered) == (3, 1)


def without(values: Mapping[Any, Any], key: object) -> dict[Any, Any]:
    return {name: value for name, value in values.items() if name != key}


def point(end: EndState, **changes: Any) -> dict[Any, Point]:
    assert end.points is not None
    return {**end.points, FACE: replace(end.points[FACE], **changes)}


DAMAGES: dict[str, tuple[str, Callable[[EndState], EndState]]] = {
    "a job is gone": ("lost", lambda end: replace(end, jobs=without(end.jobs, DETECTED))),
    "a job is stuck": ("lost", lambda end: job(end, DETECTED, status="processing")),
    "a job waits": ("lost", lambda end: replace(end, queue=[{"job_id": DETECTED}])),
    "vectors wait": ("lost", lambda end: replace(end, outbox=[{"set_id": 1}])),
    "a report waits": ("lost", lambda end: replace(end, sync={EMBEDDED: {"status": "pending"}})),
    "a point is missing": ("lost", lambda end: replace(end, points=without(end.points or {}, FACE))),
    "a set is missing": ("lost", lambda end: replace(end, sets=[], points={})),
    "a file is missing": ("lost", lambda end: file(end, "faces/0.jpg", None)),
    "a good job failed": ("unexpected", lambda end: job(end, DETECTED, status="failed", error_code="internal")),
    "a bad job is completed": ("unexpected", lambda end: job(end, REFUSED, status="completed")),
    "a job failed for another reason": ("unexpected", lambda end: job(end, REFUSED, error_code="internal")),
    "a result is another": ("unexpected", lambda end: job(end, DETECTED, result={"face_count": 9})),
    "a job that nobody asked for": (
        "unexpected",
        lambda end: replace(end, jobs={**end.jobs, "job-4": row("face_detection", "8")}),
    ),
    "a point too many": ("unexpected", lambda end: replace(end, points={**point(end), ("faces", 7009): zero(7009)})),
    "a zeroed point": ("unexpected", lambda end: replace(end, points=point(end, vector=zero(0).vector))),
    "a point of another job": ("unexpected", lambda end: replace(end, points=point(end, payload={"job_id": "job-0"}))),
    "a file too many": ("unexpected", lambda end: file(end, "faces/9.jpg", b"?")),
    "a damaged file": ("unexpected", lambda end: file(end, "faces/0.jpg", b"?")),
    "files of nobody": ("unexpected", lambda end: replace(end, files={**end.files, "job-4": {"a": b""}})),
    "a damaged database": ("unexpected", lambda end: replace(end, damage=["a page is torn"])),
    "an outcome of an attempt that had lost": (
        "unexpected",
        lambda end: replace(end, log=[{"event": "job.done", "action": "settled", "job_id": EMBEDDED, "attempt": 2}]),
    ),
    "a job accepted twice": (
        "duplicated",
        lambda end: replace(end, history=[*end.history, Turn(EMBEDDED, "accepted", 2)]),
    ),
    "a job completed and failed": (
        "duplicated",
        lambda end: replace(end, history=[*end.history, Turn(EMBEDDED, "failed", 1)]),
    ),
    "an event is missing": ("unexpected", lambda end: replace(end, events=end.events[:-1])),
    "an attempt that nobody told of": ("unexpected", lambda end: job(end, DETECTED, attempts=3)),
    "an event too many": (
        "duplicated",
        lambda end: replace(end, events=[*end.events, *told(EMBEDDED, "completed")]),
    ),
    "events of nobody": ("unexpected", lambda end: replace(end, events=[*end.events, *told("job-4", "queued")])),
    "two sets of one item": (
        "duplicated",
        lambda end: replace(end, sets=[*end.sets, {**end.sets[0], "set_id": 2}]),
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_seen_under_its_word(name: str, ledger: Ledger, end: EndState) -> None:
    word, damage = DAMAGES[name]
    verdict = ledger.judge(damage(end))
    assert getattr(verdict, word), verdict
    assert not verdict.clean


def test_a_request_without_an_answer_may_have_made_one_job_and_no_two(
    ledger: Ledger, end: EndState, known_photos: Mapping[str, Photo]
) -> None:
    ledger.unanswered("face_detection", "8", known_photos["one"])
    assert ledger.judge(end).clean
    one, two = more_of(end, "job-4"), more_of(end, "job-4", "job-5")
    assert ledger.judge(one).clean
    assert len(ledger.judge(two).unexpected) == 1


def test_a_deleted_job_must_be_gone_once_that_was_answered(ledger: Ledger, end: EndState) -> None:
    ledger.delete(DETECTED, answered=False)
    events = [*end.events, *told(DETECTED, "deleted")]
    gone = replace(end, jobs=without(end.jobs, DETECTED), events=events)
    verdicts: list[Verdict] = [ledger.judge(end), ledger.judge(gone)]
    assert all(verdict.clean for verdict in verdicts)
    ledger.delete(DETECTED, answered=True)
    assert ledger.judge(gone).clean
    assert ledger.judge(end).unexpected


def more_of(end: EndState, *job_ids: str) -> EndState:
    rows, files = (dict.fromkeys(job_ids, values[DETECTED]) for values in (end.jobs, end.files))
    events = [event for job_id in job_ids for event in told(job_id, "queued", 1, 2, "completed")]
    return replace(end, jobs={**end.jobs, **rows}, files={**end.files, **files}, events=[*end.events, *events])


def job(end: EndState, job_id: str, **changes: Any) -> EndState:
    return replace(end, jobs={**end.jobs, job_id: {**end.jobs[job_id], **changes}})


def file(end: EndState, name: str, content: bytes | None) -> EndState:
    files = without(end.files[EMBEDDED], name) | ({} if content is None else {name: content})
    return replace(end, files={**end.files, EMBEDDED: files})


def zero(number: int) -> Point:
    return Point(number, np.zeros(512, np.float32), {})
