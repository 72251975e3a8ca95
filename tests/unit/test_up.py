"""Starting and stopping the service, where it can go wrong."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog

from media_inference.errors import CannotStart
from media_inference.jobs.job import NewJob
from media_inference.jobs.outcome import Embedding, EmbeddingSet, Findings
from media_inference.processes.api_server import ApiServer
from media_inference.processes.database import make_data_folder, open_database
from media_inference.processes.publishing import PublishedElsewhere, sole_publisher
from media_inference.processes.rooms import database_file
from media_inference.processes.up import run_up, warn_if_open
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.outbox import Outbox
from media_inference.queue.wake import Wake
from media_inference.settings import Settings, load_settings
from media_inference.vectors.store import IMAGE_EMBEDDINGS
from tests.stands.running_service import BUILT_IN
from tests.stands.synced import watch_syncs

SIGNALS = (signal.SIGINT, signal.SIGTERM)
BUILT_IN_MODELS = {name.lower(): model for name, model in BUILT_IN.items()}


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield load_settings(_env_file=None, database_dir=tmp_path, **BUILT_IN_MODELS)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("address", "level", "reach"),
    [
        ("127.0.0.1", "warning", "everybody on this machine"),
        ("127.8.8.8", "warning", "everybody on this machine"),
        ("::1", "warning", "everybody on this machine"),
        ("0.0.0.0", "critical", "EVERYBODY ON THE NETWORK"),  # noqa: S104  # nothing listens there
        ("::", "critical", "EVERYBODY ON THE NETWORK"),
        ("192.168.1.7", "critical", "EVERYBODY ON THE NETWORK"),
        ("2001:db8::1", "critical", "EVERYBODY ON THE NETWORK"),
        ("fe80::1%eth0", "critical", "EVERYBODY ON THE NETWORK"),
    ],
)
def test_a_service_that_is_open_to_all_says_so_and_is_loudest_on_a_network(
    settings: Settings, address: str, level: str, reach: str
) -> None:
    with structlog.testing.capture_logs() as lines:
        warn_if_open(settings, address)
        assert lines == []
        for _ in range(2):  # at each start
            warn_if_open(settings.model_copy(update={"auth_disabled": True}), address)
    assert [(line["log_level"], line["address"]) for line in lines] == [(level, address)] * 2
    assert lines[0]["meaning"] == f"AUTH_DISABLED is on: {reach} may do everything"


def test_what_counts_is_the_address_that_a_name_stands_for(settings: Settings) -> None:
    engine, outcomes, events = open_database(settings, migrate=True), Wake.pipe(), Wake.pipe()
    server = ApiServer(
        settings.model_copy(update={"auth_disabled": True}),
        engine,
        ("localhost", 0),
        outcomes=outcomes,
        events=events,
        on_submit=lambda: None,
        workers_here=None,
    )
    assert server.address == "127.0.0.1"
    server.stop()
    server.run()
    server.close(10)
    outcomes.close()
    events.close()
    engine.dispose()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_comes_before_the_service_runs_is_not_lost(settings: Settings, number: signal.Signals) -> None:
    engine, outcomes, events = open_database(settings, migrate=True), Wake.pipe(), Wake.pipe()
    open_to_all = settings.model_copy(update={"auth_disabled": True})
    server = ApiServer(
        open_to_all,
        engine,
        ("127.0.0.1", 0),
        outcomes=outcomes,
        events=events,
        on_submit=lambda: None,
        workers_here=None,
    )
    signal.raise_signal(number)
    server.run()
    server.close(10)
    outcomes.close()
    events.close()
    engine.dispose()


def test_the_end_does_not_wait_for_a_vector_store_that_hangs(settings: Settings) -> None:
    """What is settled stays in the outbox, and the right to publish with the process that may still do it."""
    engine, outcomes, events = open_database(settings, migrate=True), Wake.pipe(), Wake.pipe()
    queue = JobQueue(engine)
    queue.submit(NewJob("image_embedding", "1"))
    claim = queue.claim("w")
    assert claim is not None
    found = Embedding(1, np.full(512, 512**-0.5, np.float32), {})
    assert queue.settle(claim, Findings({}, EmbeddingSet(IMAGE_EMBEDDINGS, "gabor-512", (found,))), lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        port = silent.getsockname()[1]
        remote = settings.model_copy(
            update={"auth_disabled": True, "qdrant_url": f"http://127.0.0.1:{port}", "qdrant_timeout": 3.0}
        )
        server = ApiServer(
            remote,
            engine,
            ("127.0.0.1", 0),
            outcomes=outcomes,
            events=events,
            on_submit=lambda: None,
            workers_here=None,
        )
        server.stop()
        server.run()
        server.close(0.1)
        assert server._relays[0].state().running
        with pytest.raises(PublishedElsewhere), sole_publisher(database_file(engine)):
            pass
        assert len(Outbox(engine).waiting(10)) == 1
        server._relays[0].stop(30)
        server._cleanup.close()
    outcomes.close()
    events.close()
    engine.dispose()


def test_the_token_of_a_new_key_pair_is_printed_even_if_the_port_is_taken(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CannotStart, match="can't listen"):
        run_up(settings, "127.0.0.1", taken.getsockname()[1], 1)
    assert capsys.readouterr().out.count(".") == 2


def test_two_names_of_one_database_have_one_publisher(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    database, link = tmp_path / "data" / "inference.db", tmp_path / "link.db"
    database.touch()
    link.symlink_to(database)
    with sole_publisher(database), pytest.raises(PublishedElsewhere), sole_publisher(link):
        pass


def test_a_new_data_folder_is_on_disk_before_anything_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = watch_syncs(monkeypatch)
    make_data_folder(load_settings(database_dir=tmp_path / "photos" / "data", _env_file=None))
    assert synced == [tmp_path / "photos", tmp_path]
