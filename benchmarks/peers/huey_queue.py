"""huey on SQLite, each commit synced like ours. Runs in the environment of the peers."""

import sys
import time
from typing import Any

from huey import SqliteHuey

from benchmarks.child import answer_questions

FOUND = {"faces": [], "face_count": 0, "image": {"width": 640, "height": 480}}

queue = SqliteHuey(filename=sys.argv[1], fsync=True)


@queue.task()  # type: ignore[untyped-decorator]  # huey has no types
def find(_media_store_id: str) -> dict[str, Any]:
    """What a job comes to."""
    return FOUND


def work(count: int) -> dict[str, float]:
    """Tasks per second: each taken from the queue, run, and its result stored."""
    for number in range(count):
        find(str(number))
    done, begun = 0, time.perf_counter()
    while (task := queue.dequeue()) is not None:
        queue.execute(task)
        done += 1
    assert done == count, done
    return {"per_second": done / (time.perf_counter() - begun)}


if __name__ == "__main__":
    answer_questions(work)
