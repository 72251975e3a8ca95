"""A client that keeps a service busy while a storm strikes at it."""

import random
import threading
from collections.abc import Sequence
from typing import Self

from media_inference.tasks.catalog import TASKS
from tests.stands.running_service import until
from tests.storms.ledger import Answer
from tests.storms.service import StormService


def submit_until_answered(
    service: StormService, task_type: str, media_store_id: str, answer: str | Answer, priority: int = 5
) -> str:
    """Posts until an answer comes, as a client would; each post without an answer may have made a job of its own."""
    while (job_id := service.submit(task_type, media_store_id, answer, priority)) is None:
        until(service.answers, bool)
    return job_id


class Load:
    """Posts every task on one new item after the other, as long as the block lasts; few jobs wait at any time."""

    def __init__(self, service: StormService, chance: random.Random, *, most_waiting: int = 9) -> None:
        self.posted = 0
        self._service = service
        self._chance = chance
        self._most_waiting = most_waiting
        self._over = threading.Event()
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        assert not self._failures, self._failures

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                if self._service.unfinished() < self._most_waiting:
                    self._post(self._chance.sample(sorted(TASKS), len(TASKS)))
                else:
                    self._over.wait(0.05)
        except BaseException as error:  # noqa: BLE001  # told at the end of the block
            self._failures.append(error)

    def _post(self, task_types: Sequence[str]) -> None:
        photo = self._chance.choice(("two", "one", "none"))
        media_store_id = self._service.media(photo)
        for task_type in task_types:
            submit_until_answered(self._service, task_type, media_store_id, photo)
            self.posted += 1
