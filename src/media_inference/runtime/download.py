"""One file of the hub to its place on disk, however often the connection is lost on the way."""

import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from media_inference.errors import DownloadFailed, DownloadInterrupted, HubUnreachable
from media_inference.jobs.retry_after import seconds_to_wait
from media_inference.models.model import HubFile
from media_inference.runtime.hub_connection import host_of, opened
from media_inference.runtime.part_file import PartFile

Progress = Callable[[str, int, int], None]
"""Called with a file's name, its bytes so far and its bytes in all."""

Say = Callable[[str], None]
"""Called with one line about what is going on."""

SLOWEST = 1000
"""Bytes per second; a connection that brings less is as good as lost."""

WORTHWHILE = 1 << 20
"""A try that brought so many bytes does not count against those in vain."""

_OVERLOADED = {429, 500, 502, 503, 504}
_NOT_ALLOWED = {401, 403}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a hub is waited for.

    ``answer_s``: until it is taken for unreachable. ``stall_s``: how long it may send next to nothing. ``pauses``:
    seconds before each new try after one that was in vain; none: there is one try. ``longest_pause_s``: a hub that asks
    to be left alone (``Retry-After``) for longer is not waited for.
    """

    answer_s: float = 5.0
    stall_s: float = 30.0
    pauses: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    longest_pause_s: float = 300.0


class Download:
    """One download; nobody else may be downloading the same file."""

    def __init__(
        self, file: HubFile, path: Path, address: str, *, patience: Patience, progress: Progress, say: Say
    ) -> None:
        self._file, self._path, self._address = file, path, address
        self._patience, self._progress, self._say = patience, progress, say
        self._part = PartFile(path, file.sha256)
        self._most = 0  # bytes that were there at once, by which a try is judged
        self._continued = self._begun_anew = False

    def run(self) -> None:
        """Puts the file in its place, whole and with the pinned hash, or raises `DownloadFailed`.

        What came before it failed is kept, and is where the next download goes on.
        """
        try:
            self._fetch()
            while self._is_another_file():
                self._fetch()
            self._part.promote()
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise DownloadFailed(f"{self._path} can't be written: the disk is full") from None
            raise DownloadFailed(f"{self._path} can't be written ({error.strerror})") from None

    def _fetch(self) -> None:
        """Tries until all bytes are there, or as many tries in a row were in vain as there are pauses."""
        self._most, in_vain = self._part.size, 0
        while True:
            try:
                return self._try()
            except (DownloadInterrupted, HubUnreachable) as error:
                in_vain = 0 if self._part.size - self._most >= WORTHWHILE else in_vain + 1
                self._most = max(self._most, self._part.size)
                pause = self._pause(error, in_vain)
                self._say(f"{error}; going on from {self._part.size / 1e6:.1f} MB in {pause:g} s")
                time.sleep(pause)

    def _pause(self, error: DownloadInterrupted | HubUnreachable, in_vain: int) -> float:
        """Seconds before the next try, at least those that the hub asked for; raises ``error`` when there is none."""
        pauses, longest = self._patience.pauses, self._patience.longest_pause_s
        wished = error.retry_after if isinstance(error, DownloadInterrupted) else 0.0
        if not pauses or in_vain > len(pauses):
            raise error
        if wished > longest:
            raise DownloadFailed(f"{error} and asks to be left alone for {wished:.0f} s: try again then")
        return max(pauses[max(0, in_vain - 1)], wished)

    def _try(self) -> None:
        """One request for all that is missing."""
        start = self._part.size
        if start >= self._file.size:
            self._continued = True
            return
        self._refuse_without_room(self._file.size - start)
        with opened("GET", self._address, self._patience.stall_s, start=start) as response:
            if self._is_good(response, start):
                self._append(response)
                return
        self._begin_anew(f"the hub answered {response.status_code} when asked to go on")
        self._try()

    def _is_good(self, response: httpx2.Response, start: int) -> bool:
        """Whether the answer can be appended to the part; False when the hub can't go on where it ends."""
        status, length = response.status_code, response.headers.get("content-length")
        if start and status == 206:
            self._continued = True
            return True
        if start and status == 416:
            return False
        self._refuse(response)
        if length is not None and length != str(self._file.size):
            raise DownloadFailed(f"{self._told} came with {length} bytes, expected {self._file.size}")
        self._part.remove()
        self._continued = False
        return True

    def _refuse(self, response: httpx2.Response) -> None:
        status = response.status_code
        if status in _OVERLOADED:
            wished = seconds_to_wait(response.headers.get("retry-after"))
            raise DownloadInterrupted(f"the hub answered {status} for {self._told}", retry_after=wished or 0.0)
        if status in _NOT_ALLOWED:
            raise DownloadFailed(
                f"the hub answered {status} for {self._told}: set HF_TOKEN to a token that may read this repository"
            )
        if status != 200:
            raise DownloadFailed(f"the hub answered {status} for {self._told}")

    def _append(self, response: httpx2.Response) -> None:
        size = self._part.size
        for size in self._part.append(self._at_a_fair_pace(response)):
            self._progress(self._file.name, min(size, self._file.size), self._file.size)
            if size >= self._file.size:
                return
        raise DownloadInterrupted(f"the download of {self._told} ended after {size} of {self._file.size} bytes")

    def _at_a_fair_pace(self, response: httpx2.Response) -> Iterator[bytes]:
        """The chunks as they come; raises `DownloadInterrupted` when too few come for too long."""
        since, came = time.monotonic(), 0
        for chunk in response.iter_raw():
            came += len(chunk)
            yield chunk
            waited = time.monotonic() - since
            if waited >= self._patience.stall_s:
                if came < SLOWEST * waited:
                    host = host_of(str(response.url))
                    raise DownloadInterrupted(f"the download from {host} stalled ({came} bytes in {waited:.1f} s)")
                since, came = time.monotonic(), 0

    def _is_another_file(self) -> bool:
        """Whether what came is not the pinned file, but may be if all of it comes from one answer."""
        found = self._part.sha256
        if found == self._file.sha256:
            return False
        wrong = f"{self._told} is not the pinned file (sha256 {(found or 'none')[:12]}…)"
        if not self._continued:
            self._part.remove()
            raise DownloadFailed(wrong)
        self._begin_anew(wrong)
        return True

    def _begin_anew(self, reason: str) -> None:
        self._part.remove()
        if self._begun_anew:
            raise DownloadFailed(reason)
        self._begun_anew, self._most = True, 0
        self._say(f"{reason}; starting anew")

    def _refuse_without_room(self, missing: int) -> None:
        if missing > self._part.room:
            raise DownloadFailed(
                f"{self._path.parent} has no room for {self._file.name}:"
                f" {missing / 1e6:.1f} MB are missing, {self._part.room / 1e6:.1f} MB are free"
            )

    @property
    def _told(self) -> str:
        return f"{self._file.path} of {self._file.repo}"
