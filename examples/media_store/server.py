"""A media_store service on a folder: start it to try media-inference, read it before you write your own.

Start it with ``python server.py FOLDER [--port 8100] [--token SECRET]``; docs/media-store.md is the protocol, of which
media-inference needs `get_photo` and `add_result`. Photos are files in FOLDER/photos, named by their ids; what was
found in them is in FOLDER/results.db. No answer leaves before what it says is on disk: it may be killed at any moment.
"""

import argparse
import hashlib
import json
import os
import re
import secrets
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import uvicorn
from fastapi import APIRouter, Body, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi import Path as InPath
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
CROP = r"^face_(0|[1-9][0-9]{0,2})$"
MAX_BYTES, MAX_PARTS = 100 * 1024 * 1024, 1001

COUNTED = ("fetched", "not_modified", "uploads", "upload_requests")
TABLES = """
CREATE TABLE IF NOT EXISTS uploads (key TEXT PRIMARY KEY, media_id TEXT, digest TEXT, result TEXT);
CREATE TABLE IF NOT EXISTS crops (key TEXT, name TEXT, jpeg BLOB, PRIMARY KEY (key, name));
CREATE TABLE IF NOT EXISTS counts (what TEXT, name TEXT, number INTEGER, PRIMARY KEY (what, name));
"""
COUNT = "INSERT INTO counts VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET number = number + 1"


class Finding(BaseModel):
    """The part ``result`` of an upload."""

    job_id: str
    task_type: str
    model: str | None
    result: dict[str, Any]


class Upload(NamedTuple):
    """What one job found in one photo; ``crops`` are JPEG files by the names of their parts."""

    media_id: str
    finding: Finding
    crops: dict[str, bytes]

    def digest(self) -> str:
        """The same for the same upload sent again, whatever the order of its parts and keys."""
        everything = json.dumps(
            [self.media_id, self.finding.model_dump(), self.crops], sort_keys=True, default=bytes.hex
        )
        return hashlib.sha256(everything.encode()).hexdigest()


class Store:
    """Photos in files, the rest in SQLite. Safe for several threads; one process per folder."""

    def __init__(self, folder: Path) -> None:
        self._photos = folder / "photos"
        self._photos.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = folder / "results.db"
        with self._transaction() as tx:
            tx.executescript(TABLES)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, closing(sqlite3.connect(self._database)) as connection, connection:  # commits, or rolls back
            yield connection

    def photo(self, media_id: str) -> Path:
        """The file of a photo, whether it is there or not."""
        return self._photos / media_id

    def put_photo(self, media_id: str, content: bytes) -> None:
        """Stores a photo, whole or not at all."""
        with tempfile.NamedTemporaryFile(dir=self._photos, prefix=".", delete=False) as file:  # no id starts with a dot
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(self.photo(media_id))

    def add(self, upload: Upload) -> bool | None:
        """Stores a result: True now, False if it had been stored before, None if its key belongs to another upload.

        Look-up and storing are one transaction, so of two requests with the same key only one stores anything.
        """
        key, digest = upload.finding.job_id, upload.digest()
        with self._transaction() as tx:
            tx.execute(COUNT, ["upload_requests", key])
            known = tx.execute("SELECT digest FROM uploads WHERE key = ?", [key]).fetchone()
            if known:
                return False if known == (digest,) else None
            row = [key, upload.media_id, digest, upload.finding.model_dump_json()]
            tx.execute("INSERT INTO uploads VALUES (?, ?, ?, ?)", row)
            tx.executemany("INSERT INTO crops VALUES (?, ?, ?)", [[key, *crop] for crop in upload.crops.items()])
            tx.execute(COUNT, ["uploads", key])
            return True

    def results(self, media_id: str) -> list[dict[str, Any]]:
        """What was found in a photo, oldest first, with links to the crops."""
        uploads = "SELECT key, result FROM uploads WHERE media_id = ? ORDER BY rowid"
        crops = "SELECT ? || name FROM crops WHERE key = ? ORDER BY length(name), name"
        with self._transaction() as tx:
            return [
                json.loads(result)
                | {"crops": [link for (link,) in tx.execute(crops, [f"/media/{media_id}/results/{key}/", key])]}
                for key, result in tx.execute(uploads, [media_id]).fetchall()
            ]

    def crop(self, media_id: str, key: str, name: str) -> bytes | None:
        """A crop as a JPEG file."""
        query = "SELECT jpeg FROM crops JOIN uploads USING (key) WHERE media_id = ? AND key = ? AND name = ?"
        with self._transaction() as tx:
            row = tx.execute(query, [media_id, key, name]).fetchone()
        return bytes(row[0]) if row else None

    def count(self, what: str, name: str) -> None:
        """Counts an answer."""
        with self._transaction() as tx:
            tx.execute(COUNT, [what, name])

    def counts(self) -> dict[str, dict[str, int]]:
        """All counts since the folder was new."""
        with self._transaction() as tx:
            rows = tx.execute("SELECT what, json_group_object(name, number) FROM counts GROUP BY what").fetchall()
        return {what: {} for what in COUNTED} | {what: json.loads(numbers) for what, numbers in rows}


Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


async def _store(request: Request, sent: Bearer) -> Any:
    token = request.app.state.token
    if token and not (sent and secrets.compare_digest(sent.credentials.encode(), token.encode())):
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return request.app.state.store


Photos = Annotated[Store, Depends(_store)]
MediaId = Annotated[str, InPath(pattern=ID)]
JobId = Annotated[str, Header(alias="Idempotency-Key", pattern=ID)]
Bytes = Annotated[bytes, Body(media_type="application/octet-stream")]


# Read by hand: the framework has no word for parts whose names are not known before.
async def _upload(_: Photos, request: Request, media_id: MediaId, key: JobId) -> Upload:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise HTTPException(415)
    async with request.form(max_files=MAX_PARTS, max_part_size=MAX_BYTES) as form:
        parts = {name: await part.read() if isinstance(part, UploadFile) else part for name, part in form.items()}
    try:
        finding = Finding.model_validate_json(parts.get("result", ""))
    except ValidationError as error:
        raise HTTPException(422, "the part `result` is missing, or not what the protocol says") from error
    crops = {name: part for name, part in parts.items() if re.match(CROP, name) and isinstance(part, bytes)}
    if finding.job_id != key or not all(jpeg.startswith(b"\xff\xd8") for jpeg in crops.values()):
        raise HTTPException(422, "the Idempotency-Key is not the job_id, or a crop is not a JPEG file")
    return Upload(media_id, finding, crops)


def _answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"description": HTTPStatus(status).phrase} for status in statuses}


FORM = {"type": "object", "required": ["result"], "properties": {"result": Finding.model_json_schema()}}
UPLOAD = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}}
router = APIRouter(responses=_answers(401))


@router.get("/media/{media_id}", response_class=Response, responses=_answers(200, 304, 404))
def get_photo(store: Photos, media_id: MediaId, if_none_match: Annotated[str, Header()] = "") -> Response:
    """The bytes of a photo, with a strong ETag."""
    if not store.photo(media_id).is_file():
        raise HTTPException(404)
    content = store.photo(media_id).read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")} & {etag, "*"}
    store.count("not_modified" if known else "fetched", media_id)
    if known:
        return Response(status_code=304, headers={"ETag": etag})
    return Response(content, media_type="application/octet-stream", headers={"ETag": etag})


@router.post("/media/{media_id}/results", openapi_extra=UPLOAD, responses=_answers(201, 404, 409, 413, 415))
def add_result(store: Photos, upload: Annotated[Upload, Depends(_upload)]) -> Response:
    """What a job found in a photo; it may come again, because it is sent until this answers 2xx."""
    if not store.photo(upload.media_id).is_file():
        raise HTTPException(404)
    stored = store.add(upload)
    if stored is None:
        raise HTTPException(409, "the Idempotency-Key belongs to another upload")
    return Response(status_code=201 if stored else 200)


@router.put("/media/{media_id}", status_code=204, responses=_answers(413))
def put_photo(store: Photos, media_id: MediaId, content: Bytes) -> None:
    """Puts a photo there."""
    store.put_photo(media_id, content)


@router.get("/media/{media_id}/results")
def get_results(store: Photos, media_id: MediaId) -> list[dict[str, Any]]:
    """What was found in a photo."""
    return store.results(media_id)


@router.get("/media/{media_id}/results/{job_id}/{crop}", response_class=Response, responses=_answers(404))
def get_crop(store: Photos, media_id: MediaId, job_id: str, crop: str) -> Response:
    """The crop of a face."""
    jpeg = store.crop(media_id, job_id, crop)
    if jpeg is None:
        raise HTTPException(404)
    return Response(jpeg, media_type="image/jpeg")


@router.get("/stats")
def get_stats(store: Photos) -> dict[str, dict[str, int]]:
    """How often what was asked for."""
    return store.counts()


def create_app(folder: Path, token: str | None = None, max_bytes: int = MAX_BYTES) -> FastAPI:
    """The service on a folder. Without a token it is open to everybody; a body has ``max_bytes`` at most."""
    app = FastAPI(title="media_store", max_body_size=max_bytes)
    app.state.store, app.state.token = Store(folder), token
    app.include_router(router)
    app.get("/", name="health")(lambda: {"status": "healthy"})
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A media_store service on a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--token", help="bearer token that every request must carry")
    chosen = parser.parse_args()
    uvicorn.run(create_app(chosen.folder, chosen.token), port=chosen.port)
