"""The service as a storm needs it: real processes on a folder of their own, that may die and come back.

::

    with storm_service(tmp_path, ledger, photos=photos(shared)) as service:
        service.start("serve", "worker")
        service.submit("face_embedding", service.media("two"), "two")
        os.kill(service.roles["serve"].pid, signal.SIGKILL)      # init starts it again
        service.wait_until_done()
    verdict = ledger.judge(service.end_state())
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import sqlalchemy as sa

from media_inference.jobs.job import JobStatus
from media_inference.queue.engine import open_engine
from media_inference.queue.migrate import migrate
from media_inference.queue.sync import SyncStatus
from media_inference.queue.tables import jobs, outbox, queue, workers
from media_inference.queue.tables import media_store_sync_status as sync
from tests.stands.free_port import free_port
from tests.stands.running_service import service_environment, until
from tests.storms.end_state import EndState, read_end_state
from tests.storms.faults import Faults
from tests.storms.history import open_book
from tests.storms.init import Kept, kill, processes_in
from tests.storms.ledger import Answer, Ledger
from tests.storms.photos import Photo

_ROOT = Path(__file__).resolve().parents[2]
_HOOK = Path(__file__).parent / "hook"

# Quick to notice, quick to come back; otherwise the defaults.
_SETTINGS = {
    "AUTH_DISABLED": "true",
    "LEASE_SECONDS": "3",
    "WORKER_POLL_INTERVAL": "0.05",
    "WORKER_THREADS": "1",
}
NOBODY_DIES = {"LEASE_SECONDS": "30"}
"""The default, for storms in which no worker is killed: one that a busy machine gives no turn is not to look dead."""


class StormService:
    """A data folder and the commands that run on it, each under an init of its own. See `storm_service`."""

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        photos: Mapping[str, Photo],
        *,
        settings: Mapping[str, str],
        broken: str | None,
        put_media: Callable[[str, bytes], None] | None,
    ) -> None:
        self.folder, self.data, self.ledger = folder.resolve(), folder.resolve() / "data", ledger
        self.media_folder = self.data / "media"
        self.media_folder.mkdir(parents=True, exist_ok=True)
        self.engine = open_engine(f"sqlite:///{self.data}/inference.db")
        migrate(self.engine)
        open_book(self.engine)
        self.faults = Faults(folder / "faults")
        self.roles: dict[str, Kept] = {}
        self._photos = photos
        self._put_media = put_media or self._put_in_folder
        self._numbers = itertools.count(1)
        self.environment = (
            service_environment(self.data)
            | _SETTINGS
            | {"PYTHONPATH": f"{_HOOK}{os.pathsep}{_ROOT}"}
            | self.faults.environment()
            | ({} if broken is None else {"STORM_BROKEN": broken})
            | dict(settings)
        )
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.client = httpx2.Client(base_url=self.url, timeout=30, trust_env=False)

    def start(self, *names: str, workers: int = 1, under: Sequence[str] = (), besides: Collection[str] = ()) -> None:
        """Starts `up`, `serve` or `worker`; `worker-2` is a second `worker`. Returns when all are ready.

        ``workers``: processes of each `worker`, or of `up`. ``under``: a command that runs them, as `strace` does.
        ``besides``: as in `wait_until_ready`.
        """
        for name in names:
            command = name.partition("-")[0]
            options = {
                "up": ["--port", str(self._port), "--workers", str(workers)],
                "serve": ["--port", str(self._port)],
                "worker": ["--processes", str(workers)],
            }[command]
            arguments = [*under, sys.executable, "-m", "media_inference", command, *options]
            self.roles[name] = Kept(name, arguments, self.folder, self.environment)
        self.wait_until_ready(sum(workers for name in names if not name.startswith("serve")), besides)

    def wait_until_ready(self, ready_workers: int, besides: Collection[str] = ()) -> None:
        """Returns when the API answers, if there is one, and so many workers are ready.

        ``besides``: ids that do not count, of workers that were killed with whoever would have struck them off.
        """
        if any(name.startswith(("up", "serve")) for name in self.roles):
            until(self.answers, bool)
        until(self.worker_ids, lambda ids: len(set(ids).difference(besides)) >= ready_workers)

    def media(self, photo: str, media_store_id: str | None = None) -> str:
        """A new media item that shows this photo, or another photo for one that is there; returns its id."""
        name = media_store_id or next(str(n) for n in self._numbers if not (self.media_folder / str(n)).exists())
        self._put_media(name, self._photos[photo].content)
        return name

    def submit(self, task_type: str, media_store_id: str, answer: str | Answer, priority: int = 5) -> str | None:
        """Posts a job and writes in the ledger what came of it; returns its id, or None when no answer came.

        ``answer``: the name of the photo that the media item shows, or the codes that it must fail with.
        """
        wanted = self._photos[answer] if isinstance(answer, str) else answer
        body = {"media_store_id": media_store_id, "priority": priority}
        try:
            answered = self.client.post(f"/job/{task_type}", json=body)
        except httpx2.TransportError:
            self.ledger.unanswered(task_type, media_store_id, wanted)
            return None
        if answered.status_code != 201:
            return None
        job_id = str(answered.json()["job_id"])
        self.ledger.acknowledge(job_id, task_type, media_store_id, wanted)
        return job_id

    def upload(self, content: bytes) -> str | None:
        """Puts a photo into the built-in media store as a client does; its id, or None when no answer came."""
        try:
            answered = self.client.post("/media", files={"file": content})
        except httpx2.TransportError:
            return None
        assert answered.status_code == 201, answered.text
        return str(answered.json()["media_store_id"])

    def delete(self, job_id: str) -> bool:
        """Deletes a job and writes in the ledger what came of it; returns whether an answer came."""
        try:
            answered = self.client.delete(f"/job/{job_id}")
        except httpx2.TransportError:
            self.ledger.delete(job_id, answered=False)
            return False
        assert answered.status_code in {204, 404}, answered.text
        self.ledger.delete(job_id, answered=True)
        return True

    def job(self, job_id: str) -> dict[str, Any]:
        """A job as the API shows it."""
        return dict(self.client.get(f"/job/{job_id}").json())

    def count(self, query: sa.Select[int]) -> int:
        """The answer to a question that counts something, asked of the database."""
        with self.engine.begin() as tx:
            return int(tx.scalar(query) or 0)

    def unfinished(self) -> int:
        """Jobs that are neither completed nor failed, rows of the queue, entries of the outbox, reports not sent."""
        live = sa.select(sa.func.count()).where(jobs.c.status.in_([JobStatus.PENDING, JobStatus.PROCESSING]))
        reports = sa.select(sa.func.count()).where(sync.c.status == SyncStatus.PENDING)
        rows = [sa.select(sa.func.count()).select_from(table) for table in (queue, outbox)]
        return sum(self.count(query) for query in (live, reports, *rows))

    def running(self) -> int:
        """Jobs that a worker has now."""
        return self.count(sa.select(sa.func.count()).where(queue.c.lease_token.is_not(None)))

    def most_claims(self) -> int:
        """How often the job was claimed that was claimed most often."""
        times = sa.text("SELECT count(*) FROM storm_history WHERE what = 'claimed' GROUP BY job_id ORDER BY 1 DESC")
        with self.engine.begin() as tx:
            return int(tx.execute(times).scalar() or 0)

    def worker_ids(self) -> list[str]:
        """The workers that have said that they are ready."""
        with self.engine.begin() as tx:
            return list(tx.scalars(sa.select(workers.c.worker_id)))

    def wait_until_done(self, patience: float = 60.0) -> None:
        """Returns when every job is completed or failed and everything is published."""
        until(self.unfinished, lambda left: left == 0, patience)

    def stop(self) -> dict[str, int]:
        """SIGTERM to every role, workers first; returns the exit codes."""
        names = sorted(self.roles, key=lambda name: not name.startswith("worker"))
        return {name: self.roles[name].stop() for name in names}

    def end(self) -> None:
        """Kills everything that still runs, also workers that have outlived their supervisor."""
        for role in self.roles.values():
            role.end()
        for pid in processes_in(self.folder):
            kill(pid)
        until(lambda: processes_in(self.folder), lambda left: not left)

    def end_state(self) -> EndState:
        """What is left; ends whatever still runs."""
        self.end()
        return read_end_state(self.engine, self.data, [role.log for role in self.roles.values()])

    def audit(self, litter: Collection[str]) -> list[str]:
        """A second witness: what the service's own audit finds once all has ended, but for ``litter``.

        That is what a kill leaves and the caretaker sweeps after an hour.
        """
        command = [sys.executable, "-m", "media_inference", "audit", "--json"]
        told = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        findings = json.loads(told.stdout)["findings"]
        return [f"audit: {one['kind']} {one['id']}: {one['what']}" for one in findings if one["kind"] not in litter]

    def answers(self) -> bool:
        """Whether the API does."""
        try:
            return self.client.get("/livez").status_code == 200
        except httpx2.TransportError:
            return False

    def _put_in_folder(self, name: str, content: bytes) -> None:
        new = self.media_folder / f".{name}.new"
        new.write_bytes(content)
        new.rename(self.media_folder / name)


@contextmanager
def storm_service(
    folder: Path,
    ledger: Ledger,
    photos: Mapping[str, Photo],
    *,
    settings: Mapping[str, str] | None = None,
    broken: str | None = None,
    put_media: Callable[[str, bytes], None] | None = None,
) -> Iterator[StormService]:
    """A service without any role yet, in a ``folder`` that may have data; in the end nothing of it runs any more.

    ``settings`` add to, or replace, those of every role. ``broken``: a broken build of `tests/storms/broken.py`.
    ``put_media`` puts a photo where the service finds it, if that is not the built-in media store.
    """
    service = StormService(folder, ledger, photos, settings=settings or {}, broken=broken, put_media=put_media)
    try:
        yield service
    finally:
        service.end()
        service.client.close()
        service.engine.dispose()
