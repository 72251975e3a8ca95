"""Texts to vectors for the API, by a child process with the text tower."""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

import structlog

from media_inference.errors import (
    ErrorCode,
    PermanentError,
    TextEmbedderAway,
    TextEmbedderBusy,
    TextNotEmbedded,
    TextTowerUnusable,
)
from media_inference.jobs.outcome import Vector
from media_inference.processes.text_child import ChildDied, ChildLost, ChildRefused, TextChild

log = structlog.get_logger()

MOST_WAITING = 16
"""Below the threads that answer requests, so that searches by text never take them all."""

_START_SECONDS = 300.0
_NOT_AGAIN_FOR = 5.0
"""Seconds in which a tower that did not start is not tried again: to read it costs more than to refuse."""


class _Question(NamedTuple):
    text: str
    vector: "Future[Vector]"


class TextSearch:
    """One child process, started with the first text, replaced when it dies, ended when it was idle for ``ttl`` seconds
    (0: never).

    ``find_tower`` names the model of the tower, or raises `TextNotEmbedded`; ``launch`` starts the process of a tower.
    A text waits for ``patience`` seconds at most; the child has so long for each, and more for its start, which goes on
    after whoever asked first has given up.
    """

    def __init__(
        self, find_tower: Callable[[], str], launch: Callable[[str], TextChild], *, patience: float, ttl: float
    ) -> None:
        self._find_tower = find_tower
        self._launch = launch
        self._patience = patience
        self._ttl = ttl or None
        self._questions: queue.Queue[_Question | None] = queue.Queue(MOST_WAITING)
        self._child: TextChild | None = None
        self._refusal: tuple[float, TextNotEmbedded] | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="text-search", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """The process id of the child, if there is one now."""
        child = self._child
        return None if child is None else child.pid

    def embed(self, text: str) -> Vector:
        """The unit vector of a text. Safe to call from many threads.

        Raises `TextNotEmbedded`, or `PermanentError` when the tower gives nothing usable.
        """
        question = _Question(text, Future())
        try:
            self._questions.put_nowait(question)
        except queue.Full:
            raise TextEmbedderBusy("Too many searches by text at once.") from None
        if self._closed.is_set():
            self._refuse_the_rest()
        try:
            return question.vector.result(self._patience)
        except TimeoutError:
            question.vector.cancel()
            raise TextEmbedderAway("The text could not be turned into a vector in time.") from None

    def close(self) -> None:
        """Ends the child; texts that wait or come later are refused. May be called again."""
        self._closed.set()
        if (child := self._child) is not None:
            child.kill()
        self._refuse_the_rest()
        self._questions.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while not self._closed.is_set():
            try:
                question = self._questions.get(timeout=None if self._child is None else self._ttl)
            except queue.Empty:
                log.info("text_tower.idle", action="unload", pid=self.pid)
                self._let_go()
            else:
                if question is not None and question.vector.set_running_or_notify_cancel():
                    self._answer(question)
        self._let_go()

    def _answer(self, question: _Question) -> None:
        try:
            question.vector.set_result(self._embed(question.text))
        except ChildLost as error:
            log.warning("text_tower.lost", action="embed", reason=str(error))
            question.vector.set_exception(_away())
        except Exception as error:  # noqa: BLE001  # whoever asked is told
            question.vector.set_exception(error)

    def _embed(self, text: str) -> Vector:
        """Asks a second child where the first turned out to be dead: it may have been so for long."""
        try:
            vector = self._ask(text)
        except ChildDied as error:
            log.warning("text_tower.died", action="restart", exit_status=error.status)
            vector = self._ask(text)
        if vector is None:
            raise PermanentError(ErrorCode.INTERNAL, "the text tower gave no usable vector")
        return vector

    def _ask(self, text: str) -> Vector | None:
        try:
            return self._ready_child().embed(text, self._patience)
        except ChildLost:
            self._child = None
            raise

    def _ready_child(self) -> TextChild:
        if self._child is not None:
            return self._child
        if self._closed.is_set():
            raise _away()
        tower = self._find_tower()
        if self._refusal is not None and time.monotonic() < self._refusal[0]:
            raise self._refusal[1]
        try:
            return self._start(tower)
        except TextNotEmbedded as error:
            self._refusal = (time.monotonic() + _NOT_AGAIN_FOR, error)
            raise

    def _start(self, tower: str) -> TextChild:
        """A process that is ready. Raises `TextNotEmbedded`."""
        try:
            child = self._child = self._launch(tower)
            if self._closed.is_set():  # `close` may have looked too early
                child.kill()
            child.wait_until_ready(_START_SECONDS)
        except (ChildLost, OSError) as error:  # among them: no process to be had now
            self._child = None
            log.warning("text_tower.not_started", action="start", tower=tower, reason=str(error))
            if isinstance(error, ChildRefused):
                unusable = f"The text tower {tower} can't be used as it is; `media-inference doctor` says why."
                raise TextTowerUnusable(unusable) from error
            raise _away() from error
        return child

    def _let_go(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def _refuse_the_rest(self) -> None:
        while True:
            try:
                question = self._questions.get_nowait()
            except queue.Empty:
                return
            if question is not None and question.vector.set_running_or_notify_cancel():
                question.vector.set_exception(_away())


def _away() -> TextEmbedderAway:
    return TextEmbedderAway("Texts can't be turned into vectors now.")
