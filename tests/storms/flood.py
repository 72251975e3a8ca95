"""A process that asks for more than a service can do.

``python -m tests.storms.flood ROLE URL RATE SECONDS CONNECTIONS …``

``post`` sends jobs, ``read`` asks for one job again and again. Requests are due at a fixed pace, whatever becomes of
those before them: what waits for its turn on a connection waits in the latency too. One JSON object goes to stdout.
"""

import asyncio
import itertools
import json
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import uvloop

from media_inference.tasks.catalog import TASKS

_PATIENCE = 60.0

Request = Callable[[], bytes]


@dataclass(slots=True)
class Told:
    """What the service answered. ``admitted``: bodies of the 201s; ``latencies``: seconds since a request was due."""

    due: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    admitted: list[dict[str, Any]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    without_retry_after: int = 0
    broken: int = 0
    """Connections that ended without an answer."""

    def note(self, head: bytes, body: bytes, latency: float) -> None:
        """One answer."""
        status = int(head[9:12])
        self.statuses[status] += 1
        self.latencies.append(latency)
        if status == 201:
            self.admitted.append(json.loads(body))
        elif status in {429, 503} and b"\nretry-after: " not in head.lower():
            self.without_retry_after += 1

    def as_json(self) -> dict[str, Any]:
        """For whoever started the process."""
        latencies = sorted(self.latencies) or [0.0]
        return {
            "due": self.due,
            "statuses": dict(self.statuses),
            "admitted": [[job["job_id"], job["task_type"], job["media_store_id"]] for job in self.admitted],
            "without_retry_after": self.without_retry_after,
            "broken": self.broken,
            "p50_ms": round(1000 * latencies[len(latencies) // 2], 1),
            "p99_ms": round(1000 * latencies[len(latencies) * 99 // 100], 1),
            "slowest_ms": round(1000 * latencies[-1], 1),
        }


async def flood(
    place: tuple[str, int], requests: Iterator[bytes], *, rate: float, seconds: float, connections: int
) -> Told:
    """Sends ``rate`` requests a second for so long, each on the first connection that is free."""
    told, loop = Told(), asyncio.get_running_loop()
    due: deque[float] = deque()
    came, over = asyncio.Event(), False

    async def speak() -> None:
        reader, writer = await asyncio.open_connection(*place)
        try:
            while due or not over:
                if not due:
                    came.clear()
                    await came.wait()
                    continue
                since = due.popleft()
                writer.write(next(requests))
                head = await reader.readuntil(b"\r\n\r\n")
                told.note(head, await reader.readexactly(_length(head)), loop.time() - since)
                if b"\nconnection: close" in head.lower():
                    writer.close()
                    reader, writer = await asyncio.open_connection(*place)
        except (OSError, asyncio.IncompleteReadError):
            told.broken += 1
        finally:
            writer.close()

    speakers = [asyncio.create_task(speak()) for _ in range(connections)]
    begun = loop.time()
    while (now := loop.time()) < begun + seconds:
        late = int((now - begun) * rate) - told.due
        told.due += late
        due.extend([now] * late)
        if late:
            came.set()
        await asyncio.sleep(0.005)
    over = True
    due.clear()  # nobody sends any more; what is on its way is waited for
    came.set()
    async with asyncio.timeout(_PATIENCE):
        await asyncio.gather(*speakers)
    return told


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"\ncontent-length: ")
    return int(rest.partition(b"\r")[0] or b"0")


def _post(host: str, items: Sequence[str]) -> Iterator[bytes]:
    for item, task_type in itertools.cycle(itertools.product(items, TASKS)):
        body = json.dumps({"media_store_id": item}).encode()
        head = f"POST /job/{task_type} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        yield head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _read(host: str, job_ids: Sequence[str]) -> Iterator[bytes]:
    for job_id in itertools.cycle(job_ids):
        yield f"GET /job/{job_id} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


if __name__ == "__main__":
    role, url, rate, seconds, connections, *names = sys.argv[1:]
    place = urlsplit(url)
    requests = {"post": _post, "read": _read}[role](place.netloc, names)
    told = uvloop.run(
        flood(
            (str(place.hostname), int(place.port or 80)),
            requests,
            rate=float(rate),
            seconds=float(seconds),
            connections=int(connections),
        )
    )
    print(json.dumps(told.as_json()))  # noqa: T201  # the storm reads it
