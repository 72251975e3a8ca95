"""Model files from the hub, or from the mirror of it that ``HF_ENDPOINT`` names.

`huggingface_hub` gives addresses, token, proxies and offline mode, all from the environment. Its `hf_hub_download` is
not used: with 2.4 an unreachable hub is retried for minutes, and before the file it asks the hub for a list by which it
reports what program is running. It is imported late, a start does not need it.
"""

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import httpx2

from media_inference.errors import DownloadFailed, HubUnreachable
from media_inference.models.model import HubFile, Model
from media_inference.runtime.weights import locate, sha256_of

Progress = Callable[[str, int, int], None]
"""Called with a file's name, its bytes so far and its bytes in all."""

CHUNK = 1 << 20
STALLED_AFTER_S = 30.0


def pull(
    model: Model,
    models_dir: Path,
    progress: Progress | None = None,
    *,
    endpoint: str | None = None,
    timeout_s: float = 5.0,
) -> list[Path]:
    """Downloads the files of a model that are missing or wrong, and returns where those lie now.

    A file is in place whole and with the pinned hash, or not at all. ``endpoint``: another hub than that of the
    environment. Raises `HubUnreachable` when nothing answers within ``timeout_s`` and `DownloadFailed` when a file
    can't be had, both with one line.
    """
    targets = [(file, locate(model, file, models_dir)) for file in model.files if isinstance(file, HubFile)]
    missing = [(file, path) for file, path in targets if sha256_of(path) != file.sha256]
    if missing:
        _check_reachable(endpoint, timeout_s)
    for file, path in missing:
        _download(file, path, endpoint, progress)
    return [path for _, path in missing]


def hub_reachable(timeout_s: float = 5.0, *, endpoint: str | None = None) -> bool:
    """Whether the hub answers anything at all within ``timeout_s``."""
    try:
        _check_reachable(endpoint, timeout_s)
    except HubUnreachable:
        return False
    return True


def _check_reachable(endpoint: str | None, timeout_s: float) -> None:
    """One request, in a thread: looking up a name has no timeout, and each address of a host has its own."""
    from huggingface_hub import constants

    hub = endpoint or constants.ENDPOINT
    answer: list[DownloadFailed | None] = []

    def ask() -> None:
        try:
            with _asked("HEAD", hub, timeout_s):
                answer.append(None)
        except DownloadFailed as error:
            answer.append(error)

    thread = threading.Thread(target=ask, name="hub-check", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not answer:
        raise HubUnreachable(f"the hub at {_host(hub)} did not answer within {timeout_s:g} s")
    if answer[0] is not None:
        raise answer[0]


@contextmanager
def _asked(method: str, address: str, timeout_s: float) -> Iterator[httpx2.Response]:
    """An open response. Raises `HubUnreachable` when there is none, `DownloadFailed` when it breaks off."""
    from huggingface_hub import get_session, get_token
    from huggingface_hub.errors import OfflineModeIsEnabled

    token = get_token()
    headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})
    # A redirect to another origin loses the token by itself.
    follow, open_yet = method == "GET", False
    try:
        with get_session().stream(method, address, headers=headers, timeout=timeout_s, follow_redirects=follow) as got:
            open_yet = True
            yield got
    except OfflineModeIsEnabled:
        raise HubUnreachable("HF_HUB_OFFLINE is set, so nothing is downloaded") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        reason = " ".join((str(error) or type(error).__name__).split())
        if open_yet:
            raise DownloadFailed(f"the download from {_host(address)} broke off ({reason})") from None
        raise HubUnreachable(f"the hub at {_host(address)} can't be reached ({reason})") from None


def _download(file: HubFile, path: Path, endpoint: str | None, progress: Progress | None) -> None:
    from huggingface_hub import hf_hub_url

    address = hf_hub_url(file.repo, file.path, revision=file.revision, endpoint=endpoint)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _in_place_of(path) as part, _asked("GET", address, STALLED_AFTER_S) as response:
            if response.status_code != 200:
                raise DownloadFailed(f"the hub answered {response.status_code} for {file.path} of {file.repo}")
            _check(file, *_copy(file, response.iter_bytes(CHUNK), part, progress))
    except OSError as error:
        raise DownloadFailed(f"{path} can't be written ({error.strerror})") from None


def _copy(file: HubFile, chunks: Iterator[bytes], part: IO[bytes], progress: Progress | None) -> tuple[int, str]:
    """Writes the chunks; returns how many bytes they were, stopping past the pinned size, and their hash."""
    size, digest = 0, hashlib.sha256()
    for chunk in chunks:
        size += len(chunk)
        if size > file.size:
            break
        part.write(chunk)
        digest.update(chunk)
        if progress is not None:
            progress(file.name, size, file.size)
    return size, digest.hexdigest()


def _check(file: HubFile, size: int, sha256: str) -> None:
    if size != file.size:
        raise DownloadFailed(f"{file.path} of {file.repo} came with {size} bytes or more, expected {file.size}")
    if sha256 != file.sha256:
        raise DownloadFailed(f"{file.path} of {file.repo} is not the pinned file (sha256 {sha256[:12]}…)")


@contextmanager
def _in_place_of(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of ``path`` when the block ends well, durably, and is gone when it does not."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False) as part:
        try:
            yield part
            part.flush()
            os.fsync(part.fileno())
            Path(part.name).chmod(0o644)
            Path(part.name).replace(path)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _host(address: str) -> str:
    return urlsplit(address).netloc or address
