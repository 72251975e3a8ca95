"""A job's result as multipart/form-data, read from disk while it is sent."""

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from media_inference.errors import ErrorCode, PermanentError, TransientError
from media_inference.media.store import ResultUpload

CHUNK_BYTES = 64 * 1024


class Multipart:
    """An upload as the body of a request (RFC 7578), of a length that is known before. One crop is open at a time.

    Making it and iterating over it raise `PermanentError` or `TransientError` (`internal`) for a crop that is gone,
    can't be read or has changed meanwhile.
    """

    def __init__(self, upload: ResultUpload) -> None:
        boundary = secrets.token_hex(16)
        self._document = _head(boundary, 'name="result"', "application/json") + _document(upload)
        self._crops = [
            (_head(boundary, f'name="{name}"; filename="{name}.jpg"', "image/jpeg"), path, _size(path))
            for name, path in upload.crops
        ]
        self._end = f"\r\n--{boundary}--\r\n".encode()
        length = len(self._document) + sum(len(head) + size for head, _, size in self._crops) + len(self._end)
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(length),
        }

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._document
        for head, path, size in self._crops:
            yield head
            for chunk in _content(path, size):
                yield chunk
        yield self._end


def _head(boundary: str, disposition: str, content_type: str) -> bytes:
    # The line break in front of a boundary belongs to it; in front of the first one it is an empty preamble.
    lines = ("", f"--{boundary}", f"Content-Disposition: form-data; {disposition}", f"Content-Type: {content_type}")
    return "\r\n".join((*lines, "", "")).encode()


def _document(upload: ResultUpload) -> bytes:
    document = {
        "job_id": upload.job_id,
        "task_type": upload.task_type,
        "model": upload.model,
        "result": upload.result,
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()


def _size(path: Path) -> int:
    with _reading():
        return path.stat().st_size


def _content(path: Path, size: int) -> Iterator[bytes]:
    with _reading(), path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            size -= len(chunk)
            if size < 0:
                break
            yield chunk
    if size:
        raise TransientError(ErrorCode.INTERNAL, "a crop changed while it was sent")


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise PermanentError(ErrorCode.INTERNAL, "a crop is no longer there") from error
    except OSError as error:
        raise TransientError(ErrorCode.INTERNAL, "a crop can't be read") from error
