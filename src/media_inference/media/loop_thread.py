"""An event loop in a thread of its own, for plain functions that need a time limit on what they wait for."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopClosed(Exception):
    """The event loop takes no more work."""


class LoopThread:
    """Runs coroutines for other threads. Its thread never keeps a process from ending."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._closing = threading.Lock()
        self._closed = False
        self._thread.start()

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *arguments: object) -> T:
        """What the coroutine returns or raises. Raises `LoopClosed` once this is closed."""
        with self._closing:
            if self._closed:
                raise LoopClosed
            future = asyncio.run_coroutine_threadsafe(function(*arguments), self._loop)
        try:
            return future.result()
        except BaseException:  # also when a signal's handler raises in the thread that waits
            future.cancel()
            raise

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancels what still runs, runs ``last`` and ends the thread. Does nothing the second time."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._wind_up(last), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _wind_up(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*running, return_exceptions=True)
        await last()
        await self._loop.shutdown_asyncgens()
