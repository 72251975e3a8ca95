"""No order of the steps of two attempts, a lease that runs out, the publisher and a kill leaves a wrong end."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.jobs.job import Claim
from media_inference.publisher.vectors import VectorPublisher
from media_inference.queue import changes, settling
from media_inference.queue.outbox import OutboxEntry
from media_inference.queue.tables import queue
from media_inference.vectors.store import FACES, Point
from tests.storms.interleavings import Explorer, Report
from tests.storms.ledger import Verdict
from tests.storms.rival_attempts import Ending, RivalAttempts, findings
from tests.storms.size import size_from_environment

pytestmark = [pytest.mark.storm, pytest.mark.timeout(600)]

MORTALS = ("A", "B", "P")
FULL = size_from_environment().full


def explored(world: RivalAttempts, name: str, *, until_wrong: bool = False) -> Report:
    """All schedules; the verdict is kept with the ledgers."""
    report = Explorer(world, MORTALS, until_wrong=until_wrong).explore()
    figures = {"schedules": report.schedules, "wrong": report.wrong_schedules, "states": report.states}
    wrong = [f"{fault}: {schedule}" for fault, schedule in report.wrong.items()]
    Verdict(f"interleavings-{name}", None, unexpected=wrong, figures=figures).keep()
    return report


@pytest.mark.parametrize("ending", Ending if FULL else [Ending.SETTLE])
def test_no_interleaving_leaves_a_wrong_end_or_a_stale_vector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: Ending
) -> None:
    report = explored(RivalAttempts(tmp_path, monkeypatch, ending, looks=2 if FULL else 1), ending)
    assert report.wrong == {}
    assert report.schedules > (100_000 if FULL else 1_000)


def whoever_comes(tx: sa.Connection, claims: Sequence[Claim]) -> set[str]:
    """Takes a claim to hold as long as its job is in the queue."""
    there = set(tx.scalars(sa.select(queue.c.job_id)))
    return {claim.lease_token for claim in claims if claim.job_id in there}


def without_a_fence(world: RivalAttempts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes may end the job: the WHERE names the job alone."""
    monkeypatch.setattr(changes, "held", lambda claim: queue.c.job_id == claim.job_id)
    monkeypatch.setattr(settling, "tokens_held", whoever_comes)


def acknowledged_first(world: RivalAttempts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outbox forgets an entry before the vector store has it."""

    def publish(self: VectorPublisher, entries: Sequence[OutboxEntry]) -> int:
        publications = self.outbox.publications(entries)
        self.outbox.acknowledge(*entries)
        for entry, publication in zip(entries, publications, strict=True):
            points = [Point(item.point_id, item.vector, item.payload) for item in publication.embeddings]
            self.vectors.upsert(entry.collection, points)
            self.vectors.delete(entry.collection, publication.stale)
        return len(entries)

    monkeypatch.setattr(VectorPublisher, "_publish", publish)


def stale_points_left(world: RivalAttempts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody deletes the faces that are no more."""
    monkeypatch.setattr(world.vectors, "delete", lambda *_: None)


def vectors_written_by_workers(world: RivalAttempts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain design: a worker writes its vectors as soon as it has them, and ends the job in the fenced row."""
    real = world.end

    def end(claim: Claim, name: str) -> bool:
        found = findings(name).embedding_set
        assert found is not None
        world.vectors.upsert(FACES, [Point(item.point_id, item.vector, item.payload) for item in found.embeddings])
        return real(claim, name)

    monkeypatch.setattr(world, "end", end)


@pytest.mark.parametrize(
    "sabotage",
    [without_a_fence, acknowledged_first, stale_points_left, vectors_written_by_workers],
    ids=lambda sabotage: str(sabotage.__name__),
)
def test_a_broken_build_is_caught(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sabotage: Callable[[RivalAttempts, pytest.MonkeyPatch], None],
) -> None:
    world = RivalAttempts(tmp_path, monkeypatch)
    sabotage(world, monkeypatch)
    report = explored(world, f"broken-{sabotage.__name__}", until_wrong=True)
    assert report.wrong
