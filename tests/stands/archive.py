"""A service's data with real parts and no processes: jobs are settled as tasks settle them, and published."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from media_inference.artifacts.local_store import LocalStore
from media_inference.artifacts.shelf import Shelf
from media_inference.audit.files import FileCheck
from media_inference.audit.finding import Check
from media_inference.audit.leftovers import LeftoverCheck
from media_inference.audit.point_mending import DirectMending, OutboxMending
from media_inference.audit.points import PointCheck
from media_inference.audit.report import Report, audit
from media_inference.audit.tables import check_events, check_tables
from media_inference.jobs.job import Claim, JobStatus, NewJob
from media_inference.jobs.outcome import Artifact, Embedding, EmbeddingSet, Findings, Vector
from media_inference.media.jpeg import encode_jpeg
from media_inference.publisher.vectors import VectorPublisher
from media_inference.queue.engine import open_engine
from media_inference.queue.events import EventLog
from media_inference.queue.inventory import Inventory
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.migrate import migrate
from media_inference.queue.outbox import Outbox
from media_inference.queue.repairs import Repairs
from media_inference.queue.rules import Rules
from media_inference.tasks.catalog import TASKS
from media_inference.vectors.edge_store import EdgeStore
from media_inference.vectors.point_ids import face_point_id, image_point_id, payload_media_id
from media_inference.vectors.store import FACES, IMAGE_EMBEDDINGS, VectorStore

CROP = encode_jpeg(np.full((24, 16, 3), 99, np.uint8))
MODEL = "gabor-face-512"


def unit_vector(seed: int) -> Vector:
    """A vector of length 1, the same one for the same seed."""
    vector = np.random.default_rng(seed).normal(size=512)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class Archive:
    """Database, files and vectors in one folder. ``alone``: the audit may write points itself; ``migrated``: it is."""

    def __init__(
        self, folder: Path, vectors: VectorStore, *, alone: bool = True, uploads: bool = False, migrated: bool = False
    ) -> None:
        self.folder = folder
        self.engine = open_engine(f"sqlite:///{folder}/inference.db")
        if not migrated:
            migrate(self.engine)
        self.queue = JobQueue(self.engine, uploads=uploads)
        self.records = JobRecords(self.engine)
        self.outbox = Outbox(self.engine)
        self.files = LocalStore(folder / "jobs")
        self.vectors = vectors
        self.alone = alone
        self.uploads = uploads

    def embed_image(self, media_store_id: str, seed: int = 1) -> str:
        """A settled job with one vector."""
        claim = self.claim("image_embedding", media_store_id)
        vector, point_id = unit_vector(seed), image_point_id(media_store_id)
        embedding = Embedding(point_id, vector, self._payload(claim))
        result = {"point_id": point_id, "collection": IMAGE_EMBEDDINGS}
        found = EmbeddingSet(IMAGE_EMBEDDINGS, MODEL, (embedding,))
        self.settle(claim, Findings(result, found, (_file("embedding.bin", vector),), MODEL))
        return claim.job_id

    def embed_faces(self, media_store_id: str, faces: int, seed: int = 1) -> str:
        """A settled job with a vector, a crop and a vector file for each face."""
        claim = self.claim("face_embedding", media_store_id)
        vectors = [unit_vector(seed * 1000 + index) for index in range(faces)]
        embeddings = [
            Embedding(face_point_id(media_store_id, index), vector, self._payload(claim) | {"face_index": index})
            for index, vector in enumerate(vectors)
        ]
        files = [Artifact(f"faces/{index}.jpg", CROP) for index in range(faces)]
        files += [_file(f"faces/{index}.bin", vector) for index, vector in enumerate(vectors)]
        result = {"face_count": faces, "faces": [{"point_id": each.point_id} for each in embeddings]}
        self.settle(claim, Findings(result, EmbeddingSet(FACES, MODEL, tuple(embeddings)), tuple(files), MODEL))
        return claim.job_id

    def detect_faces(self, media_store_id: str, faces: int) -> str:
        """A completed job with crops and no vectors."""
        claim = self.claim("face_detection", media_store_id)
        files = tuple(Artifact(f"faces/{index}.jpg", CROP) for index in range(faces))
        self.settle(claim, Findings({"face_count": faces, "faces": []}, None, files, MODEL))
        return claim.job_id

    def claim(self, task_type: str, media_store_id: str) -> Claim:
        """A job that a worker has; nothing else may be waiting."""
        self.queue.submit(NewJob(task_type, media_store_id))
        claim = self.queue.claim("worker-1")
        assert claim is not None
        return claim

    def settle(self, claim: Claim, findings: Findings) -> None:
        """Accepts what was found, with its files."""
        staged = self.files.stage(claim.job_id, claim.lease_token, findings.artifacts)
        assert self.queue.settle(claim, findings, staged.promote)

    def publish(self) -> None:
        """Empties the outbox."""
        publisher = VectorPublisher(self.outbox, self.vectors)
        while publisher.publish_some():
            pass

    def audit(self, *, fix: bool = False) -> Report:
        """The product's own audit of all of it."""
        inventory, repairs, shelf = Inventory(self.engine), Repairs(self.engine), Shelf(self.folder / "jobs")
        mending = DirectMending(self.vectors) if self.alone else OutboxMending(self.vectors, inventory, repairs)
        promises = {task.type: task.files for task in TASKS.values() if task.files is not None}
        rules = Rules(self.engine, uploads=self.uploads)
        checks: dict[str, Check] = {
            "tables": lambda: check_tables(rules),
            "files": FileCheck(inventory, shelf, promises, repairs),
            "leftovers": LeftoverCheck(inventory, shelf, self.files, lambda: None),
            "vectors": PointCheck(inventory, self.vectors, mending, repairs),
            "events": lambda: check_events(rules),
        }
        return audit(checks, fix=fix)

    def sql(self, statement: str, *values: object) -> list[Any]:
        """Changes the database as nothing in the product would, foreign keys unchecked; returns rows, if any."""
        with self.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.execute("PRAGMA foreign_keys=OFF")
            rows = driver.execute(statement, values).fetchall()
            driver.execute("PRAGMA foreign_keys=ON")
        return list(rows)

    def status(self, job_id: str) -> JobStatus:
        """What a job that exists is at."""
        job = self.records.get(job_id)
        assert job is not None, job_id
        return job.status

    def story(self, job_id: str) -> str:
        """A job's events in short: ``queued started1 completed1``."""
        told = EventLog(self.engine).of_job(job_id, 0).events
        return " ".join(f"{event.type}{event.data.get('attempt', '')}" for event in told)

    def newest_event(self) -> int:
        """Its id."""
        return EventLog(self.engine).newest()

    def path(self, job_id: str, name: str) -> Path:
        """Where a file of a job lies."""
        return self.folder / "jobs" / job_id / name

    def contents(self) -> dict[str, Any]:
        """All that is kept, to be compared: jobs, files, points."""
        with self.engine.connect() as connection:
            jobs = connection.execute(sa.text("SELECT job_id, status, result FROM jobs ORDER BY job_id")).all()
        points = [
            (collection, point.id, point.payload, [round(float(number), 4) for number in point.vector])
            for collection in (FACES, IMAGE_EMBEDDINGS)
            for page in self.vectors.scroll(collection)
            for point in page
        ]
        folder = self.folder / "jobs"
        files = {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }
        return {"jobs": [tuple(row) for row in jobs], "points": points, "files": files}

    @staticmethod
    def _payload(claim: Claim) -> dict[str, Any]:
        return {
            "job_id": claim.job_id,
            "media_store_id": payload_media_id(claim.media_store_id),
            "task_type": claim.task_type,
            "model": MODEL,
            "bbox": {"x": 364.51, "width": 247.25},
        }


def kinds(report: Report) -> Sequence[str]:
    """The kinds of what an audit found, each as often as it was found."""
    return sorted(report.found.elements())


@contextmanager
def edge_archive(folder: Path) -> Iterator[Archive]:
    """An archive with embedded vectors."""
    vectors = EdgeStore(folder / "qdrant")
    archive = Archive(folder, vectors)
    try:
        yield archive
    finally:
        archive.vectors.close()
        archive.engine.dispose()


def _file(name: str, vector: Vector) -> Artifact:
    return Artifact(name, vector.astype("<f4").tobytes())
