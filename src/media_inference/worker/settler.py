"""Outcomes of jobs that end at the same time share one durable commit."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from media_inference.errors import JobError
from media_inference.queue.changes import Settlement


@dataclass(slots=True, eq=False)
class _Call:
    settlement: Settlement
    answer: bool | Exception | None = None


class Settler:
    """Gathers what comes while a transaction is on its way to the disk; who comes alone waits for nobody.

    ``settle_some`` settles outcomes in one transaction. The thread that comes first writes for all who wait.
    """

    def __init__(self, settle_some: Callable[[Sequence[Settlement]], list[bool | JobError]]) -> None:
        self._settle_some = settle_some
        self._gathering = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: list[_Call] = []

    def settle(self, settlement: Settlement) -> bool:
        """Whether the claim held, and the outcome is on disk. Raises what `JobQueue.settle` raises."""
        call = _Call(settlement)
        with self._gathering:
            self._waiting.append(call)
        with self._writing:
            if call.answer is None:
                self._write()
        if isinstance(call.answer, Exception):
            raise call.answer
        return bool(call.answer)

    def _write(self) -> None:
        with self._gathering:
            calls, self._waiting = self._waiting, []
        try:
            answers: Sequence[bool | Exception] = self._settle_some([call.settlement for call in calls])
        except Exception as error:  # noqa: BLE001  # each thread raises it
            answers = [error] * len(calls)
        for call, answer in zip(calls, answers, strict=True):
            call.answer = answer
