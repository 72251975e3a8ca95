"""API and publisher alone; workers run elsewhere."""

import sys

import structlog

from media_inference.processes.api_server import ApiServer
from media_inference.processes.chosen_models import refuse_other_models
from media_inference.processes.database import open_database
from media_inference.processes.up import warn_if_open
from media_inference.queue.job_records import JobRecords
from media_inference.queue.wake import Wake
from media_inference.settings import Settings

log = structlog.get_logger()


def run_serve(settings: Settings, host: str, port: int) -> int:
    """Runs until SIGINT or SIGTERM; workers and publisher find their work by polling. Raises `CannotStart`."""
    engine = open_database(settings, migrate=False)
    refuse_other_models(settings, JobRecords(engine))
    outcomes, events = Wake.pipe(), Wake.pipe()
    server = ApiServer(
        settings,
        engine,
        (host, port),
        outcomes=outcomes,
        events=events,
        on_submit=lambda: None,
        workers_here=None,
    )
    warn_if_open(settings, server.address)
    print(f"media-inference is at {server.url} (stop with Ctrl-C)", file=sys.stderr)  # noqa: T201
    log.info("serve.started", action="start", url=server.url)
    try:
        server.run()
    finally:
        server.close(settings.shutdown_grace)
        outcomes.close()
        events.close()
        engine.dispose()
    return 0
