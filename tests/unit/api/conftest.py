"""The API on a real database, real vector shards, real folders and real keys."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from media_inference.api.app import create_app
from media_inference.api.event_feed import EventFeed
from media_inference.api.services import Services
from media_inference.api.tokens import TokenVerifier, create_key_pair, sign
from media_inference.artifacts.local_store import LocalStore
from media_inference.errors import NoTextTower
from media_inference.jobs.job import JsonObject
from media_inference.jobs.outcome import Artifact, Findings, Vector
from media_inference.media.folder_inbox import FolderInbox
from media_inference.models.kinds import DIMENSION
from media_inference.queue.engine import open_engine
from media_inference.queue.events import EventLog
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.migrate import migrate
from media_inference.queue.outages import OutageRecords
from media_inference.queue.sync import SyncRecords
from media_inference.queue.wake import Wake
from media_inference.queue.worker_records import WorkerRecords
from media_inference.vectors.edge_store import EdgeStore
from media_inference.vectors.store import COLLECTIONS

Serve = Callable[[Services], TestClient]
Complete = Callable[..., None]

MAX_UPLOAD = 200_000


@pytest.fixture(scope="session")
def keys() -> tuple[bytes, bytes]:
    """A private and a public key."""
    return create_key_pair()


@pytest.fixture
def tokens(keys: tuple[bytes, bytes]) -> dict[str, str]:
    """One token per kind of caller."""
    private, _ = keys

    def token(*permissions: str, admin: bool = False, ttl: float = 600) -> str:
        return sign(private, subject="somebody", permissions=permissions, admin=admin, ttl_seconds=ttl)

    return {
        "garbage": "garbage",
        "expired": token("ai_inference_support", admin=True, ttl=-600),
        "plain": token(),
        "permission": token("ai_inference_support"),
        "admin": token(admin=True),
        "both": token("ai_inference_support", admin=True),
    }


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """A database with its tables."""
    engine = open_engine(f"sqlite:///{tmp_path}/inference.db")
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def wakes() -> list[str]:
    """Grows by one whenever workers are woken."""
    return []


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of vector shards. To make them takes half a second and 200 MB, to open them a fraction of that."""
    folder = tmp_path_factory.mktemp("qdrant")
    EdgeStore(folder).close()
    return folder


@pytest.fixture
def vectors(shards: Path) -> Iterator[EdgeStore]:
    """Empty collections."""
    store = EdgeStore(shards)
    for collection in COLLECTIONS:
        everything = store.search(collection, np.ones(DIMENSION, np.float32), limit=1000)
        store.delete(collection, [hit.id for hit in everything])
    yield store
    store.close()


@pytest.fixture
def feed(engine: sa.Engine) -> Iterator[EventFeed]:
    """The events, looked for when the pipe is rung."""
    wake = Wake.pipe()
    feed = EventFeed(EventLog(engine), wake, poll_interval=60, most_streams=10)
    yield feed
    feed.close()
    wake.close()


@pytest.fixture
def services(
    tmp_path: Path,
    engine: sa.Engine,
    vectors: EdgeStore,
    keys: tuple[bytes, bytes],
    *,
    wakes: list[str],
    feed: EventFeed,
) -> Services:
    """The services of a machine that runs everything."""
    public_key_path = tmp_path / "public_key.pem"
    public_key_path.write_bytes(keys[1])
    return Services(
        queue=JobQueue(engine),
        sync=SyncRecords(engine),
        records=JobRecords(engine),
        feed=feed,
        vectors=vectors,
        artifacts=LocalStore(tmp_path / "jobs"),
        inbox=FolderInbox(tmp_path / "media", MAX_UPLOAD),
        access=TokenVerifier(public_key_path),
        task_types={
            "image_embedding": "A picture to a vector.",
            "face_detection": "Faces with landmarks.",
            "face_embedding": "Faces to vectors.",
        },
        models={"image_embeddings": "gabor-512", "faces": "gabor-face-512"},
        checks={"vector_store": lambda: {"points": vectors.count("faces")}},
        workers=WorkerRecords(engine, patience=30),
        outages=OutageRecords(engine),
        on_submit=lambda: wakes.append("woken"),
        embed_text=_no_text_tower,
        version="1.2.3",
        max_upload_bytes=MAX_UPLOAD,
    )


def _no_text_tower(_text: str) -> Vector:
    raise NoTextTower("The image model gabor-512 has no text tower: ask by a picture or a vector.")


@pytest.fixture
def serve() -> Serve:
    """Services -> a client of theirs, without a token."""
    return lambda services: TestClient(create_app(services), raise_server_exceptions=False)


@pytest.fixture
def stranger(services: Services, serve: Serve) -> TestClient:
    """Calls without a token."""
    return serve(services)


@pytest.fixture
def supporter(services: Services, serve: Serve, tokens: dict[str, str]) -> TestClient:
    """Calls with the permission ai_inference_support."""
    client = serve(services)
    client.headers["Authorization"] = f"Bearer {tokens['permission']}"
    return client


@pytest.fixture
def admin(services: Services, serve: Serve, tokens: dict[str, str]) -> TestClient:
    """Calls with is_admin."""
    client = serve(services)
    client.headers["Authorization"] = f"Bearer {tokens['admin']}"
    return client


@pytest.fixture
def complete(services: Services) -> Complete:
    """Completes the job whose turn it is, as a worker does: ``complete(result, {name: content})``."""

    def run(result: JsonObject, files: dict[str, bytes] | None = None) -> None:
        claim = services.queue.claim("worker-1")
        assert claim is not None
        artifacts = tuple(Artifact(name, content) for name, content in (files or {}).items())
        staged = services.artifacts.stage(claim.job_id, claim.lease_token, artifacts)
        assert services.queue.settle(claim, Findings(result, None, artifacts), staged.promote)

    return run
