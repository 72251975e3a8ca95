"""API and publisher: what `up` and `serve` have in common. Sole owner of the embedded vector store."""

import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import sqlalchemy as sa
import structlog

from media_inference import __version__
from media_inference.api.event_feed import EventFeed
from media_inference.api.services import Services
from media_inference.api.tokens import Access, OpenAccess, TokenVerifier
from media_inference.artifacts.local_store import LocalStore
from media_inference.errors import CannotStart
from media_inference.jobs.outcome import Vector
from media_inference.processes.caretaker import Caretaker
from media_inference.processes.chosen_models import collection_models
from media_inference.processes.connection import ConnectionBounds
from media_inference.processes.health import Health
from media_inference.processes.http_server import HttpServer
from media_inference.processes.media import open_inbox, open_sink
from media_inference.processes.publishing import sole_publisher
from media_inference.processes.relays import make_relays
from media_inference.processes.rooms import database_file, rooms_to_accept
from media_inference.processes.text import open_text_search
from media_inference.processes.vectors import open_vectors
from media_inference.publisher.relay import Relay
from media_inference.queue.events import EventLog
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.outages import OutageRecords
from media_inference.queue.submission import IdempotencyKeys
from media_inference.queue.sync import SyncRecords
from media_inference.queue.wake import Wake
from media_inference.queue.worker_records import WorkerRecords
from media_inference.room import require_all
from media_inference.settings import Settings
from media_inference.tasks.catalog import TASKS
from media_inference.vectors.store import VectorStore

log = structlog.get_logger()

_CUT_OFF_AFTER = 2.0
"""Seconds that a report to the media store may still take at the end; it is sent again at the next start."""


class ApiServer:
    """Listens at once; answers when it runs. From here on SIGINT and SIGTERM end `run`, also one that is yet to come.

    ``outcomes`` wakes the publisher, ``events`` those who listen to job events; ``on_submit`` is called after each
    accepted job; ``workers_here`` counts the workers of this process, or is None when they run elsewhere. Raises
    `CannotStart`.
    """

    def __init__(
        self,
        settings: Settings,
        engine: sa.Engine,
        address: tuple[str, int],
        *,
        outcomes: Wake,
        events: Wake,
        on_submit: Callable[[], None],
        workers_here: Callable[[], int] | None,
    ) -> None:
        with ExitStack() as undo:
            self._socket = undo.enter_context(_listen(*address))
            vectors = open_vectors(settings)
            undo.callback(vectors.close)
            undo.enter_context(sole_publisher(database_file(engine)))
            records, artifacts = JobRecords(engine, on_event=events.ring), LocalStore(settings.storage_dir)
            feed = _feed(settings, engine, events)
            undo.callback(feed.close)
            self._caretaker = Caretaker(artifacts, records, _trims(settings, engine, feed.log))
            sink = open_sink(settings)
            if sink is not None:
                undo.callback(sink.close)
            self._relays = make_relays(
                settings, engine, vectors=vectors, artifacts=artifacts, sink=sink, outcomes=outcomes, events=events
            )
            health = _health(
                settings, engine, records, vectors=vectors, artifacts=artifacts, relays=self._relays, here=workers_here
            )
            sync = None if sink is None else SyncRecords(engine)
            text = open_text_search(settings)
            undo.callback(text.close)
            self._server = HttpServer(
                _services(
                    settings,
                    queue=JobQueue(engine, limit=settings.queue_limit, on_event=events.ring),
                    sync=sync,
                    health=health,
                    feed=feed,
                    on_submit=on_submit,
                    embed_text=text.embed,
                ),
                bounds=ConnectionBounds(settings.max_connections),
                on_end=text.close,
            )
            # uvicorn heeds them only while it runs, and then raises them again for whoever was here before.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: self.stop())
            self._cleanup = undo.pop_all()

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def address(self) -> str:
        """The IP address that it listens on."""
        return str(self._socket.getsockname()[0])

    def run(self) -> None:
        """Serves until SIGINT, SIGTERM or `stop`; then everything that is settled has been published."""
        for relay in self._relays:
            relay.start()
        self._caretaker.start()
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Makes `run` return; safe to call from any thread."""
        self._server.should_exit = True

    def close(self, patience: float) -> None:
        """Publishes the vectors that are settled and lets everything go. Call it when no worker runs here any more.

        What is not published after ``patience`` seconds waits for the next start. The vector store and the right to
        publish then go with this process, and not before: its thread may still write.
        """
        self._caretaker.stop()
        vectors, *reports = self._relays
        vectors.stop(patience)
        for relay in reports:
            relay.stop(_CUT_OFF_AFTER)
        if vectors.state().running:
            log.warning("publisher.cut_off", action="stop", patience_s=patience)
            return
        self._cleanup.close()


def _health(
    settings: Settings,
    engine: sa.Engine,
    records: JobRecords,
    *,
    vectors: VectorStore,
    artifacts: LocalStore,
    relays: Sequence[Relay],
    here: Callable[[], int] | None,
) -> Health:
    return Health(
        records=records,
        vectors=vectors,
        artifacts=artifacts,
        relays=relays,
        outages=OutageRecords(engine),
        workers=WorkerRecords(engine, patience=settings.lease_seconds),
        inbox=open_inbox(settings),
        rooms=rooms_to_accept(settings, engine),
        workers_here=here,
    )


def _services(
    settings: Settings,
    *,
    queue: JobQueue,
    sync: SyncRecords | None,
    health: Health,
    feed: EventFeed,
    on_submit: Callable[[], None],
    embed_text: Callable[[str], Vector],
) -> Services:
    return Services(
        queue=queue,
        sync=sync,
        records=health.records,
        feed=feed,
        vectors=health.vectors,
        artifacts=health.artifacts,
        inbox=health.inbox,
        access=_access(settings),
        task_types={task.type: task.summary for task in TASKS.values()},
        models=collection_models(settings),
        checks=health.checks(),
        workers=health.workers,
        outages=health.outages,
        require_room=lambda: require_all(health.rooms),
        on_submit=on_submit,
        embed_text=embed_text,
        version=__version__,
        max_upload_bytes=settings.max_image_bytes,
        dedupe=settings.dedupe,
    )


def _feed(settings: Settings, engine: sa.Engine, events: Wake) -> EventFeed:
    return EventFeed(
        EventLog(engine),
        events,
        poll_interval=settings.worker_poll_interval,
        most_streams=settings.event_streams,
        most_per_client=settings.event_streams_per_client,
    )


def _trims(settings: Settings, engine: sa.Engine, event_log: EventLog) -> dict[str, Callable[[], int]]:
    keys = IdempotencyKeys(engine)
    return {
        "events": lambda: event_log.trim(int(settings.events_keep * 1000), settings.events_most),
        "idempotency_keys": lambda: keys.trim(int(settings.idempotency_keep * 1000)),
    }


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotStart(
            f"can't listen on {host} port {port} ({reason}); choose another with --host or --port"
        ) from None
    return listener


def _access(settings: Settings) -> Access:
    if settings.auth_disabled:
        return OpenAccess()
    return TokenVerifier(
        settings.key_path, settings.token_issuer, settings.token_audience, longest_life=settings.token_max_life
    )
