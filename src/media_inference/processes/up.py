"""The whole service on one machine."""

import logging
import sys
import threading
import time
from ipaddress import ip_address

import structlog

from media_inference.api.auth import SUPPORT
from media_inference.processes.api_server import ApiServer
from media_inference.processes.chosen_models import refuse_missing_models, refuse_other_models
from media_inference.processes.database import make_data_folder, open_database
from media_inference.processes.keys import ensure_key_pair, sign_here
from media_inference.processes.workers import WorkerPool
from media_inference.queue.job_records import JobRecords
from media_inference.queue.wake import Wake
from media_inference.settings import Settings
from media_inference.worker.supervisor import EXIT_CANNOT_START

log = structlog.get_logger()

_FIRST_TOKEN_LASTS_S = 24 * 60 * 60
_LAST_ROUND_S = 2.0
"""What the publisher has at least, when the workers used up the grace: what they settled last is published at once."""


def run_up(settings: Settings, host: str, port: int, workers: int) -> int:
    """Runs API, publisher and workers until SIGINT or SIGTERM; returns the exit code. Raises `CannotStart`."""
    make_data_folder(settings)
    refuse_missing_models(settings)
    if ensure_key_pair(settings):
        _print_token(settings)
    engine = open_database(settings, migrate=True)
    refuse_other_models(settings, JobRecords(engine))
    outcomes, events = Wake.pipe(), Wake.pipe()
    refused = threading.Event()

    def on_refusal() -> None:
        refused.set()
        server.stop()

    pool = WorkerPool(settings, engine, workers, outcomes=outcomes, events=events, on_refusal=on_refusal)
    server = ApiServer(
        settings,
        engine,
        (host, port),
        outcomes=outcomes,
        events=events,
        on_submit=pool.ring,
        workers_here=pool.running,
    )
    warn_if_open(settings, server.address)
    print(f"media-inference is at {server.url} (stop with Ctrl-C)", file=sys.stderr)  # noqa: T201
    log.info("up.started", action="start", url=server.url, workers=workers, data=str(settings.database_dir))
    pool.start()
    try:
        server.run()
    finally:
        log.info("up.stopping", action="stop")
        grace_ends = time.monotonic() + settings.shutdown_grace
        pool.stop()
        server.close(max(_LAST_ROUND_S, grace_ends - time.monotonic()))
        outcomes.close()
        events.close()
        engine.dispose()
    return EXIT_CANNOT_START if refused.is_set() else 0


def warn_if_open(settings: Settings, address: str) -> None:
    """One loud line when everybody may do everything; ``address`` is the one that is listened on, not its name.

    On a network it is critical, which every `LOG_LEVEL` shows.
    """
    if not settings.auth_disabled:
        return
    local = ip_address(address).is_loopback
    reach = "everybody on this machine" if local else "EVERYBODY ON THE NETWORK"
    level = logging.WARNING if local else logging.CRITICAL
    meaning = f"AUTH_DISABLED is on: {reach} may do everything"
    log.log(level, "auth.disabled", action="start", meaning=meaning, address=address)


def _print_token(settings: Settings) -> None:
    seconds = min(_FIRST_TOKEN_LASTS_S, settings.token_max_life)
    token = sign_here(settings, subject="owner", permissions=[SUPPORT], admin=True, ttl_seconds=seconds)
    note = f"A key pair was made in {settings.database_dir}. Here is a token for {seconds / 3600:g} hours; "
    print(note + "`media-inference token` makes others.", file=sys.stderr)  # noqa: T201
    print(token, flush=True)  # noqa: T201  # the result of the first start
