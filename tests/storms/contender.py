"""A process that wants the database at the same time as everybody else: ``python -m tests.storms.contender ROLE …``.

What it sees goes to stdout, a JSON object a line: ``{"posted": …}`` for each 201, ``{"error": …}`` for what nobody
should see, and one ``{"done": …}`` in the end.
"""

import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx2

from media_inference.errors import MediaInferenceError
from media_inference.queue.engine import open_engine, sqlite_module
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.outbox import Outbox
from media_inference.tasks.catalog import TASKS

HELD, FREE = 2.0, 8.0
_MOST_WAITING = 4


def hold(path: str, seconds: float) -> None:
    """Has the write lock for two seconds of every ten, or of every four in a short time."""
    free = min(FREE, seconds / 3)
    pause = threading.Event()
    holds = 0
    with closing(sqlite_module().connect(path, timeout=60, isolation_level=None)) as database:
        for _ in _until(seconds):
            database.execute("BEGIN IMMEDIATE")
            pause.wait(HELD)
            database.execute("ROLLBACK")
            holds += 1
            pause.wait(free)
    _tell(done="hold", times=holds)


def churn(url: str, seconds: float) -> None:
    """Claims a job, says that it is alive, gives it back, and reads; all with the product's own code."""
    engine = open_engine(url)
    queue, records, outbox = JobQueue(engine), JobRecords(engine), Outbox(engine)
    turns = 0
    for _ in _until(seconds):
        try:
            claim = queue.claim("contender")
            if claim is not None:
                assert queue.renew(claim)
                assert records.get(claim.job_id)
                assert queue.release(claim)
            outbox.waiting(5)
            turns += 1
        except MediaInferenceError as error:
            _tell(error=f"{type(error).__name__}: {error}")
    engine.dispose()
    _tell(done="churn", times=turns)


def post(url: str, seconds: float, *items: str) -> None:
    """Posts every task on these media items, a few jobs at a time, and reads them until they have ended."""
    slowest = 0.0
    waiting: list[str] = []
    turns = itertools.cycle([(item, task_type) for item in items for task_type in TASKS])
    with httpx2.Client(base_url=url, timeout=60, trust_env=False) as client:
        for _ in _until(seconds):
            begun = time.monotonic()
            if len(waiting) < _MOST_WAITING:
                answer = _post_one(client, *next(turns), waiting)
            else:
                answer = _read_one(client, waiting)
            slowest = max(slowest, time.monotonic() - begun)
            if answer.status_code >= 400:
                _tell(error=f"HTTP {answer.status_code}: {answer.text}")
    _tell(done="post", slowest_ms=round(slowest * 1000))


def _post_one(client: httpx2.Client, item: str, task_type: str, waiting: list[str]) -> httpx2.Response:
    answer = client.post(f"/job/{task_type}", json={"media_store_id": item})
    if answer.status_code == 201:
        waiting.append(answer.json()["job_id"])
        _tell(posted=waiting[-1], task_type=task_type, media_store_id=item)
    return answer


def _read_one(client: httpx2.Client, waiting: list[str]) -> httpx2.Response:
    answer = client.get(f"/job/{waiting[0]}")
    if answer.status_code == 200 and answer.json()["status"] in {"completed", "failed"}:
        del waiting[0]
        return client.get("/admin/stats")
    return answer


def _until(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


def _tell(**what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201  # the storm reads it


_ROLES: dict[str, Callable[..., None]] = {"hold": hold, "churn": churn, "post": post}

if __name__ == "__main__":
    role, address, duration, *more = sys.argv[1:]
    _ROLES[role](address, float(duration), *more)
