"""Who comes while a transaction is on its way shares the next one; who comes alone waits for nobody."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_inference.api.group_commit import MOST_AT_ONCE, GroupCommit
from media_inference.errors import DatabaseUnavailable
from media_inference.jobs.job import NewJob
from media_inference.queue.engine import open_engine
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.migrate import migrate
from media_inference.queue.submission import Answer, Origin, Submission, Wanted


def wanted(*media: object) -> list[Wanted]:
    return [Wanted(NewJob("face_detection", str(one))) for one in media]


def media_of(answers: Sequence[Answer]) -> list[str]:
    return [answer.job.media_store_id for answer in answers if isinstance(answer, Submission)]


class Writes:
    """Notes what is written together. The first write goes on when it is let."""

    def __init__(self, *poison: str, error: Exception | None = None) -> None:
        self.together = list[list[str]]()
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.poison, self.error = poison, error

    def __call__(self, some: Sequence[Wanted]) -> list[Answer]:
        media = [one.new.media_store_id for one in some]
        self.together.append(media)
        self.begun.set()
        assert self.go_on.wait(10)
        if self.error is not None and set(media) & set(self.poison):
            raise self.error
        return [Submission(one.job(0), Origin.NEW) for one in some]


async def submit_during_a_write(writes: Writes, *calls: list[Wanted]) -> list[Sequence[Answer] | BaseException]:
    """One call is written; the others come while it is, and are answered after it."""
    commits = GroupCommit(writes)
    first = asyncio.create_task(commits.submit(wanted("first")))
    await asyncio.to_thread(writes.begun.wait, 10)
    others = [asyncio.create_task(commits.submit(call)) for call in calls]
    await asyncio.sleep(0)
    writes.go_on.set()
    assert media_of(await first) == ["first"]
    return list(await asyncio.gather(*others, return_exceptions=True))


def test_those_who_come_during_a_commit_share_the_next_and_get_their_own_answers() -> None:
    writes = Writes()
    answers = asyncio.run(submit_during_a_write(writes, wanted(1), wanted(2, 3), wanted(4)))
    assert writes.together == [["first"], ["1", "2", "3", "4"]]
    assert [media_of(own) for own in answers if not isinstance(own, BaseException)] == [["1"], ["2", "3"], ["4"]]


def test_one_transaction_holds_no_more_than_it_may() -> None:
    writes = Writes()
    asyncio.run(submit_during_a_write(writes, wanted(*range(MOST_AT_ONCE - 1)), wanted("a"), wanted("b"), wanted("c")))
    assert [len(together) for together in writes.together] == [1, MOST_AT_ONCE, 2]


def test_one_that_makes_the_transaction_fail_fails_alone() -> None:
    writes = Writes("2", error=ValueError("our mistake"))
    answers = asyncio.run(submit_during_a_write(writes, wanted(1), wanted(2), wanted(3)))
    assert [isinstance(own, ValueError) for own in answers] == [False, True, False]
    assert writes.together == [["first"], ["1", "2", "3"], ["1"], ["2"], ["3"]]


def test_while_the_database_is_away_all_are_told_at_once() -> None:
    writes = Writes("2", error=DatabaseUnavailable("locked"))
    answers = asyncio.run(submit_during_a_write(writes, wanted(1), wanted(2), wanted(3)))
    assert [type(own) for own in answers] == [DatabaseUnavailable] * 3
    assert len(writes.together) == 2


def test_a_client_that_left_takes_nothing_from_the_others() -> None:
    async def leave() -> Sequence[Answer]:
        writes = Writes()
        commits = GroupCommit(writes)
        leaver, stayer = (asyncio.create_task(commits.submit(wanted(media))) for media in ("leaver", "stayer"))
        await asyncio.to_thread(writes.begun.wait, 10)
        leaver.cancel()
        writes.go_on.set()
        return await asyncio.wait_for(stayer, 10)

    assert media_of(asyncio.run(leave())) == ["stayer"]


def test_sixteen_clients_share_commits_and_each_job_is_on_disk(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/test.db")
    migrate(engine)
    commits = list[object]()
    sa.event.listen(engine, "commit", commits.append)
    group = GroupCommit(JobQueue(engine).submit_all)

    async def client(name: int) -> list[str]:
        answers = [await group.submit(wanted(f"{name}-{number}")) for number in range(20)]
        return [media for own in answers for media in media_of(own)]

    async def all_clients() -> list[list[str]]:
        return await asyncio.gather(*(client(name) for name in range(16)))

    answered = [media for own in asyncio.run(all_clients()) for media in own]
    assert len(commits) <= 320 // 4
    other = open_engine(f"sqlite:///{tmp_path}/test.db")
    with other.connect() as tx:
        assert sorted(answered) == sorted(tx.scalars(sa.text("SELECT media_store_id FROM jobs")))
    for each in (engine, other):
        each.dispose()


def test_those_who_were_answered_together_are_waited_for_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come back one after the other, as over connections: else the first would have a commit of its own."""
    monkeypatch.setattr("media_inference.api.group_commit._GATHERING", 0.05)  # time enough on a busy machine
    writes = Writes()
    writes.go_on.set()
    commits = GroupCommit(writes)

    async def client(name: int) -> None:
        for number in range(20):
            await commits.submit(wanted(f"{name}-{number}"))
            for _ in range(name):
                await asyncio.sleep(0)

    async def all_clients() -> None:
        await asyncio.gather(*(client(name) for name in range(8)))

    asyncio.run(all_clients())
    assert sum(len(together) for together in writes.together) == 160
    assert len(writes.together) < 160 // 5


def test_alone_it_is_written_at_once() -> None:
    async def alone() -> None:
        writes = Writes()
        writes.go_on.set()
        commits = GroupCommit(writes)
        for number in range(3):
            await commits.submit(wanted(number))
            assert writes.together[-1] == [str(number)]

    asyncio.run(alone())


@pytest.mark.parametrize("turns", [2])
def test_it_serves_event_loops_one_after_the_other(turns: int) -> None:
    writes = Writes()
    writes.go_on.set()
    commits = GroupCommit(writes)
    for _ in range(turns):
        assert media_of(asyncio.run(commits.submit(wanted(1)))) == ["1"]
