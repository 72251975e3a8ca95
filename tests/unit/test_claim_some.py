"""Several jobs claimed in one transaction, several outcomes settled in one: each with its own authority and fate."""

from collections.abc import Callable

import numpy as np
import pytest
import sqlalchemy as sa

from media_inference.errors import ErrorCode, JobError, PermanentError, TransientError
from media_inference.jobs.job import Claim, JobStatus, NewJob
from media_inference.jobs.outcome import Embedding, EmbeddingSet, Findings
from media_inference.queue.changes import Settlement
from media_inference.queue.events import EventLog
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.outbox import Outbox
from media_inference.queue.turns import Wish


@pytest.fixture
def queue(engine: sa.Engine) -> JobQueue:
    return JobQueue(engine)


@pytest.fixture
def records(engine: sa.Engine) -> JobRecords:
    return JobRecords(engine)


def submit(queue: JobQueue, *priorities: int, task: str = "face_detection") -> list[str]:
    return [queue.submit(NewJob(task, str(n), priority)).job_id for n, priority in enumerate(priorities)]


def settlement(
    claim: Claim, findings: Findings | None = None, promote: Callable[[], None] = lambda: None
) -> Settlement:
    return Settlement(claim, findings or Findings({"face_count": 0}), promote)


def vectors_of(model: str) -> Findings:
    vector = np.full(512, 512**-0.5, np.float32)
    return Findings({}, EmbeddingSet("faces", model, (Embedding(1, vector, {}),)))


def statuses(records: JobRecords, claims: list[Claim]) -> list[str]:
    found = [records.get(claim.job_id) for claim in claims]
    return ["gone" if job is None else job.status for job in found]


def test_some_are_claimed_in_the_order_in_which_one_by_one_would(queue: JobQueue, engine: sa.Engine) -> None:
    a, b, c, d, e = submit(queue, 5, 8, 5, 10, 0)
    claims = queue.claim_some("w", Wish(3))
    assert [claim.job_id for claim in claims] == [d, b, a]
    assert [claim.job_id for claim in queue.claim_some("w", Wish(9))] == [c, e]
    assert queue.claim_some("w", Wish(9)) == []
    started = [event for event in EventLog(engine).page(0, 99).events if event.type == "started"]
    assert [event.job_id for event in started] == [d, b, a, c, e]
    assert {event.data["attempt"] for event in started} == {1}


def test_each_has_a_token_of_its_own_and_is_what_one_claim_would_be(queue: JobQueue) -> None:
    submit(queue, 5, 8, 5)
    claims = queue.claim_some("w", Wish(3))
    assert len({claim.lease_token for claim in claims}) == 3
    assert [queue.release(claim) for claim in claims] == [True, True, True]
    again = [queue.claim("w") for _ in claims]
    assert [(one.job_id, one.attempt, one.media_store_id, one.priority) for one in again if one is not None] == [
        (claim.job_id, 1, claim.media_store_id, claim.priority) for claim in claims
    ]


def test_task_types_that_cannot_be_worked_on_are_passed_over(queue: JobQueue) -> None:
    submit(queue, 9, 9, task="image_embedding")
    (faces,) = submit(queue, 1)
    assert [claim.job_id for claim in queue.claim_some("w", Wish(5, without=["image_embedding"]))] == [faces]


def test_several_outcomes_share_one_commit(queue: JobQueue, engine: sa.Engine, records: JobRecords) -> None:
    submit(queue, *[5] * 8)
    commits = list[object]()
    sa.event.listen(engine, "commit", commits.append)
    claims = queue.claim_some("w", Wish(8))
    assert queue.settle_some([settlement(claim) for claim in claims]) == [True] * 8
    assert len(commits) == 2
    assert statuses(records, claims) == [JobStatus.COMPLETED] * 8


def test_outcomes_and_the_claims_that_follow_share_one_commit(
    queue: JobQueue, engine: sa.Engine, records: JobRecords
) -> None:
    submit(queue, 5, 5, 9, 5)
    claims = queue.claim_some("w", Wish(2))
    commits = list[object]()
    sa.event.listen(engine, "commit", commits.append)
    endings, following = queue.settle_and_claim([settlement(claim) for claim in claims], "w", Wish(2))
    assert (len(commits), endings) == (1, [True, True])
    assert [claim.media_store_id for claim in (*claims, *following)] == ["2", "0", "1", "3"]
    assert statuses(records, [*claims, *following]) == ["completed", "completed", "processing", "processing"]
    types = [(event.type, event.job_id) for event in EventLog(engine).page(6, 99).events]
    assert types == [("completed", claim.job_id) for claim in claims] + [
        ("started", claim.job_id) for claim in following
    ]


def test_an_outcome_that_came_too_late_holds_no_claim_up(queue: JobQueue) -> None:
    submit(queue, 5, 4)
    late = queue.claim("w")
    assert late is not None
    queue.release(late)
    endings, (again,) = queue.settle_and_claim([settlement(late)], "w", Wish())
    assert endings == [False]
    assert (again.job_id, again.attempt) == (late.job_id, 1)


def test_each_outcome_is_fenced_by_its_own_token(queue: JobQueue, records: JobRecords) -> None:
    submit(queue, 5, 5, 5)
    claims = queue.claim_some("w", Wish(3))
    promoted = list[str]()
    queue.release(claims[1])
    retaken = queue.claim("other")
    queue.delete(claims[2].job_id)
    settlements = [settlement(claim, promote=lambda c=claim: promoted.append(c.job_id)) for claim in claims]  # type: ignore[misc]  # binds now
    assert queue.settle_some(settlements) == [True, False, False]
    assert promoted == [claims[0].job_id], "files are put in place for who holds the claim alone"
    assert retaken is not None
    assert statuses(records, claims) == ["completed", "processing", "gone"]
    assert queue.settle(retaken, Findings({}), lambda: None)
    assert records.statistics().attempts_dropped == 2


def test_an_outcome_that_is_refused_is_undone_alone(queue: JobQueue, engine: sa.Engine, records: JobRecords) -> None:
    submit(queue, *[5] * 4, task="face_embedding")
    claims = queue.claim_some("w", Wish(4))

    def no_room() -> None:
        raise TransientError(ErrorCode.STORAGE_FULL, "full")

    endings = queue.settle_some(
        [
            settlement(claims[0], vectors_of("one")),
            settlement(claims[1], vectors_of("another")),
            settlement(claims[2], vectors_of("one"), no_room),
            settlement(claims[3], vectors_of("one")),
        ]
    )
    assert [ending if isinstance(ending, bool) else ending.code for ending in endings] == [
        True,
        ErrorCode.MODEL_UNAVAILABLE,
        ErrorCode.STORAGE_FULL,
        True,
    ]
    assert [entry.job_id for entry in Outbox(engine).waiting(9)] == [claims[0].job_id, claims[3].job_id]
    assert queue.renew(claims[1]), "it still holds"
    assert queue.fail(claims[1], PermanentError(ErrorCode.MODEL_UNAVAILABLE, "x"))
    assert queue.release(claims[2])
    assert statuses(records, claims) == ["processing", "failed", "pending", "processing"]


def test_one_outcome_that_is_refused_is_raised(queue: JobQueue) -> None:
    submit(queue, 5, 5, task="face_embedding")
    first, second = queue.claim_some("w", Wish(2))
    assert queue.settle(first, vectors_of("one"), lambda: None)
    with pytest.raises(JobError, match="holds vectors of one"):
        queue.settle(second, vectors_of("another"), lambda: None)
    assert queue.renew(second)


def test_only_as_urgent_jobs_as_are_wished_for_are_claimed(queue: JobQueue) -> None:
    a, b, _ = submit(queue, 10, 9, 10)
    (claim,) = queue.claim_some("w", Wish(1, at_least=10))
    assert claim.job_id == a
    assert b not in [claim.job_id for claim in queue.claim_some("w", Wish(9, at_least=10))]


def test_jobs_that_ran_together_when_their_worker_died_are_not_charged_and_run_alone(
    queue: JobQueue, engine: sa.Engine
) -> None:
    a, b, c = submit(queue, 5, 5, 5)
    queue.claim_some("dead", Wish(2))
    assert queue.charge_worker("dead") == ()
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT crashes, attempts, status FROM jobs")).all()
    assert set(rows) == {(0, 0, "pending")}
    assert queue.claim_some("busy", Wish(9, idle=False)) == []
    assert [claim.job_id for claim in queue.claim_some("w", Wish(9))] == [a]
    assert queue.claim_some("w", Wish(9, idle=False)) == []
    assert [claim.job_id for claim in queue.claim_some("other", Wish(9))] == [b]
    assert [claim.job_id for claim in queue.claim_some("w", Wish(9, idle=False))] == [c]


def test_the_job_that_kills_its_worker_is_charged_once_it_runs_alone_and_stays_alone(
    queue: JobQueue, records: JobRecords
) -> None:
    (poison, good) = submit(queue, 5, 5)
    queue.claim_some("first", Wish(2))
    queue.charge_worker("first")
    for attempt in range(3):
        (claim,) = queue.claim_some(f"w{attempt}", Wish(9))
        if claim.job_id == good:
            queue.settle(claim, Findings({}), lambda: None)
            (claim,) = queue.claim_some(f"w{attempt}", Wish(9))
        assert claim.job_id == poison
        assert queue.charge_worker(f"w{attempt}") == [poison]
    found, other = records.get(poison), records.get(good)
    assert found is not None
    assert found.error is not None
    assert found.error.code == ErrorCode.WORKER_CRASHED
    assert other is not None
    assert other.status is JobStatus.COMPLETED


def test_all_jobs_of_a_silent_worker_are_taken_back_at_once_and_none_is_charged(queue: JobQueue) -> None:
    submit(queue, 5, 5)
    first, second = queue.claim_some("silent", Wish(2))
    assert queue.charge_lease(first.lease_token) == ()
    assert queue.charge_lease(second.lease_token) == []
    assert queue.renew(first, second) == 0


def test_a_job_that_came_to_an_end_of_its_own_need_not_run_alone_again(queue: JobQueue) -> None:
    submit(queue, 5, 5)
    queue.claim_some("dead", Wish(2))
    queue.charge_worker("dead")
    alone = queue.claim_some("w", Wish(1))[0]
    queue.retry(alone, TransientError(ErrorCode.MEDIA_UNAVAILABLE, "away"), 0.0)
    assert [claim.job_id for claim in queue.claim_some("busy", Wish(1, idle=False))] == [alone.job_id]
