"""Many requests in one transaction come to what they would come to one after the other."""

import random
import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.errors import KeyReused, QueueFull
from media_inference.jobs.job import NewJob
from media_inference.jobs.job_id import new_job_id
from media_inference.queue.engine import open_engine
from media_inference.queue.events import EventLog
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.migrate import migrate
from media_inference.queue.submission import Answer, Origin, RequestKey, Submission, Wanted
from media_inference.queue.turns import Wish


def database(path: Path) -> sa.Engine:
    engine = open_engine(f"sqlite:///{path}")
    migrate(engine)
    return engine


def plain(media: str, priority: int = 5) -> Wanted:
    return Wanted(NewJob("face_detection", media, priority))


def keyed(media: str, word: str, subject: str = "me") -> Wanted:
    return Wanted(NewJob("face_detection", media), RequestKey(subject, word))


def shared(media: str, priority: int = 5) -> Wanted:
    return Wanted(NewJob("face_detection", media, priority), share=True)


def kinds(answers: list[Answer]) -> list[str]:
    return [answer.origin if isinstance(answer, Submission) else type(answer).__name__ for answer in answers]


def job_ids(answers: list[Answer]) -> list[str]:
    return [answer.job.job_id for answer in answers if isinstance(answer, Submission)]


def tables(engine: sa.Engine) -> list[list[tuple[object, ...]]]:
    queries = (
        "SELECT job_id, task_type, media_store_id, status, priority FROM jobs ORDER BY job_id",
        "SELECT job_id, priority FROM queue ORDER BY position",
        "SELECT job_id, type FROM events ORDER BY event_id",
        "SELECT subject, key, request_hash, job_id FROM idempotency_keys ORDER BY 1, 2",
    )
    with engine.connect() as tx:
        return [[tuple(row) for row in tx.exec_driver_sql(query)] for query in queries]


@pytest.mark.parametrize("seed", range(5))
def test_together_they_come_to_what_they_would_one_by_one(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311  # chooses requests, no secret

    def request() -> Wanted:
        new = NewJob("face_detection", str(dice.randrange(6)), dice.choice((3, 7)))
        key = RequestKey(dice.choice("ab"), str(dice.randrange(9))) if dice.random() < 0.4 else None
        return Wanted(new, key, share=dice.random() < 0.6)

    wanted = [request() for _ in range(120)]
    one_by_one, together = database(tmp_path / "one.db"), database(tmp_path / "many.db")
    single, many = (JobQueue(engine, lambda: 7, limit=30) for engine in (one_by_one, together))
    expected = [answer for one in wanted for answer in single.submit_all([one])]
    found = [answer for start in range(0, 120, 40) for answer in many.submit_all(wanted[start : start + 40])]
    assert kinds(found) == kinds(expected)
    assert [answer for answer in found if isinstance(answer, Submission)] == [
        answer for answer in expected if isinstance(answer, Submission)
    ]
    assert tables(together) == tables(one_by_one)
    assert set(kinds(found)) == {"new", "replayed", "shared", "KeyReused", "QueueFull"}
    for engine in (one_by_one, together):
        engine.dispose()


def test_they_share_one_commit_and_keep_their_order(engine: sa.Engine) -> None:
    queue, commits = JobQueue(engine), list[object]()
    sa.event.listen(engine, "commit", commits.append)
    ids = job_ids(queue.submit_all([plain(str(number)) for number in range(50)]))
    assert len(commits) == 1
    assert [claim.job_id for claim in queue.claim_some("w", Wish(50))] == ids
    queued = [event.job_id for event in EventLog(engine).page(0, 50).events]
    assert queued == ids


def test_a_refused_request_takes_nothing_from_the_others(engine: sa.Engine) -> None:
    queue = JobQueue(engine, limit=3)
    answers = queue.submit_all([keyed("1", "a"), keyed("2", "a"), plain("3"), plain("4"), plain("5"), keyed("1", "a")])
    assert kinds(answers) == [Origin.NEW, "KeyReused", Origin.NEW, Origin.NEW, "QueueFull", Origin.REPLAYED]
    assert len(tables(engine)[0]) == 3


def test_above_the_limit_nothing_new_is_taken_until_some_are_claimed(engine: sa.Engine) -> None:
    queue = JobQueue(engine, limit=2)
    queue.submit_all([keyed("1", "a"), plain("2")])
    with pytest.raises(QueueFull):
        queue.submit(NewJob("face_detection", "3"))
    with pytest.raises(QueueFull):
        queue.submit_once(NewJob("face_detection", "3"), RequestKey("me", "b"))
    assert kinds(queue.submit_all([keyed("1", "a"), shared("2"), shared("3")])) == ["replayed", "shared", "QueueFull"]
    claim = queue.claim("w")
    assert claim is not None
    assert queue.submit_once(NewJob("face_detection", "3"), RequestKey("me", "b")).origin is Origin.NEW
    assert queue.release(claim), "what is put back finds its place above the limit too"
    with pytest.raises(QueueFull):
        queue.submit(NewJob("face_detection", "4"))


def test_a_shared_job_of_the_same_transaction_is_raised_and_claimed_first(engine: sa.Engine) -> None:
    queue = JobQueue(engine)
    answers = queue.submit_all([shared("1", 3), plain("2", 7), shared("1", 9), shared("1", 4)])
    assert [answer.job.priority for answer in answers if isinstance(answer, Submission)] == [3, 7, 9, 9]
    ids = job_ids(answers)
    assert ids[0] == ids[2] == ids[3]
    assert [claim.job_id for claim in queue.claim_some("w", Wish(9))] == ids[:2]


def test_a_key_with_another_request_in_the_same_transaction_is_refused(engine: sa.Engine) -> None:
    with pytest.raises(KeyReused):
        raise JobQueue(engine).submit_all([keyed("1", "a"), keyed("2", "a")])[1]  # type: ignore[misc]  # it is one


def test_ids_are_uuids_of_version_7_that_rise_with_time() -> None:
    ids = [new_job_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert {uuid.UUID(job_id).version for job_id in ids} == {7}
    assert {uuid.UUID(job_id).variant for job_id in ids} == {uuid.RFC_4122}
    times = [job_id[:13] for job_id in ids]
    assert times == sorted(times)
