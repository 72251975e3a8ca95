"""Threads of the engine that help a pass while it is alone.

Two passes of one thread each do more on two cores than passes that share threads, but one that is alone is done in 0.6
of the time with a second thread. ONNX Runtime can't be told for each pass how many to use, and a second session would
pack all weights again. So the threads of a session's pool are kept busy instead: a call that the engine refuses at once
ends in a callback on one of them, and while that waits, the thread helps nobody. The pass finds it busy and does all by
itself, as quickly as with no pool at all (measured, docs/performance.md).
"""

import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import numpy as np
import onnxruntime as ort

_NO_OUTPUT = "no graph has an output of this name"
_MOST_CALLS = 8
"""For each thread that is to be held."""
_PATIENCE = 2.0
"""Seconds in which a thread that was let go is surely back in the engine."""


class Passes:
    """Those that run now, of all sessions of a process.

    ``held``: threads of each session that help only a pass that began alone. Safe for any number of threads.
    """

    def __init__(self, *, held: int = 0) -> None:
        self.held = held
        self._lock = threading.Lock()
        self._running: list[_Helpers] = []

    def of(self, session: ort.InferenceSession, *, owner: object) -> Callable[[], AbstractContextManager[None]]:
        """What to enter while a pass of this session runs, which goes when its ``owner`` does.

        A second pass holds the helpers of all that run, until their session has no pass any more.
        """
        helpers = _Helpers(session, self.held)
        weakref.finalize(owner, helpers.leave)
        return partial(self._one_of, helpers)

    @contextmanager
    def _one_of(self, helpers: "_Helpers") -> Iterator[None]:
        with self._lock:
            self._running.append(helpers)
            if len(self._running) > 1:
                for running in set(self._running):
                    running.hold()
        try:
            yield
        finally:
            with self._lock:
                self._running.remove(helpers)
                if helpers not in self._running:
                    helpers.let_go()


class _Helpers:
    """The threads of one session's pool, ``count`` of which can be held."""

    def __init__(self, session: ort.InferenceSession, count: int) -> None:
        self._session, self._count = session, count
        self._nothing = {node.name: np.zeros(1, np.float32) for node in session.get_inputs()}
        self._free: threading.Event | None = None
        self._lock = threading.Lock()
        self._asked = 0
        self._held = 0
        self._on_their_way = 0
        self._threads: set[int] = set()

    def hold(self) -> None:
        """Keeps them from helping, each as soon as it is done with what it does.

        The engine gives a call to any of its threads, also to one that waits already. So whoever comes next asks again
        for those that are missing. What can't be held helps, which only takes longer.
        """
        if self._free is None:
            self._free, self._asked, self._held = threading.Event(), 0, 0
        missing = min(self._count - self._held, _MOST_CALLS * self._count - self._asked)
        for _ in range(missing):
            self._asked += 1
            with self._lock:
                self._on_their_way += 1
            try:
                self._session.run_async([_NO_OUTPUT], self._nothing, self._wait, (self._free, threading.get_ident()))
            except Exception:  # noqa: BLE001  # whatever it is, the pass that comes can do without
                with self._lock:
                    self._on_their_way -= 1

    def let_go(self) -> None:
        """Lets them help again."""
        if self._free is not None:
            self._free.set()
            self._free = None

    def leave(self) -> None:
        """Lets them go, and returns when none is in Python any more.

        An engine that is taken down waits for its threads with the interpreter's lock, which they would wait for.
        """
        self.let_go()
        until = time.monotonic() + _PATIENCE
        while self._in_python() and time.monotonic() < until:
            time.sleep(0.001)

    def _in_python(self) -> bool:
        return self._on_their_way > 0 or not self._threads.isdisjoint(sys._current_frames())  # noqa: SLF001  # no other way

    def _wait(self, _outputs: object, asked: tuple[threading.Event, int], _refusal: str) -> None:
        free, asker = asked
        me = threading.get_ident()
        # The pool's queue holds a thousand offers of work, and a thread that waits takes none out: when it is full, the
        # engine calls back in the thread that asks.
        if me != asker:
            with self._lock:
                self._threads.add(me)
                self._held += free is self._free
            free.wait()
        with self._lock:
            self._on_their_way -= 1
