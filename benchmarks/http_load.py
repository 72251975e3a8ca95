"""Requests over keep-alive connections to a server on this machine, as many as it takes.

A client of bytes and no more, for the usual ones take longer for a request than the server does.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import uvloop

CONNECTIONS = 16
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


class BadAnswer(Exception):
    """An answer of another status than was wanted, or none."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a load came to. ``client_share``: of one core, what this client took; near 1 it was the bottleneck."""

    seconds: float
    milliseconds: tuple[float, ...]
    client_share: float
    last_body: bytes

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return len(self.milliseconds) / self.seconds


def post(path: str, body: bytes | dict[str, Any], token: str = "") -> bytes:
    """A request as it goes over the wire."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + (f"Authorization: Bearer {token}\r\n".encode() if token else b"") + b"\r\n" + content


def send_all(port: int, requests: Iterable[bytes], *, status: int, connections: int = CONNECTIONS) -> Load:
    """Sends each request once. Raises `BadAnswer`."""
    return uvloop.run(_send(port, iter(requests), status, connections))


def send_for(
    port: int, requests: Sequence[bytes], seconds: float, *, status: int, connections: int = CONNECTIONS
) -> Load:
    """Sends them round and round for some seconds. Raises `BadAnswer`."""
    return send_all(port, _until(time.perf_counter() + seconds, requests), status=status, connections=connections)


def _until(end: float, requests: Sequence[bytes]) -> Iterator[bytes]:
    return itertools.takewhile(lambda _: time.perf_counter() < end, itertools.cycle(requests))


async def _send(port: int, requests: Iterator[bytes], status: int, connections: int) -> Load:
    loop = asyncio.get_running_loop()
    milliseconds: list[float] = []

    def sender() -> _Sender:
        return _Sender(requests, b"%d" % status, milliseconds)

    senders = [(await loop.create_connection(sender, "127.0.0.1", port))[1] for _ in range(connections)]
    begun, busy = time.perf_counter(), time.process_time()
    for each in senders:
        each.send()
    failed, _ = await asyncio.wait([each.done for each in senders], return_when=asyncio.FIRST_EXCEPTION)
    for each in senders:
        each.close()
    for done in failed:
        done.result()
    seconds, busy = time.perf_counter() - begun, time.process_time() - busy
    return Load(seconds, tuple(milliseconds), busy / seconds, senders[0].body)


class _Sender(asyncio.Protocol):
    """One connection: the next request goes when the answer to the last one is whole."""

    def __init__(self, requests: Iterator[bytes], status: bytes, milliseconds: list[float]) -> None:
        self._requests = requests
        self._status = status
        self._milliseconds = milliseconds
        self._received = b""
        self.body = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self) -> None:
        """The next request, or the end."""
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            self.done.set_result(None)
            return
        self._begun = time.perf_counter()
        self._transport.write(request)

    def close(self) -> None:
        """Hangs up, whatever is on its way."""
        self._transport.abort()
        self.done.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END_OF_HEAD)
        if end < 0:
            return
        head = self._received[:end].lower()
        start = head.find(_LENGTH) + len(_LENGTH)
        length = int(head[start:].split(b"\r\n", 1)[0])
        if len(self._received) < end + len(_END_OF_HEAD) + length:
            return
        self._milliseconds.append((time.perf_counter() - self._begun) * 1000)
        self.body, self._received = self._received[end + len(_END_OF_HEAD) :], b""
        if head.split(b" ", 2)[1] != self._status:
            self.done.set_exception(BadAnswer((head.split(b"\r\n", 1)[0] + b" " + self.body[:200]).decode()))
            self._transport.close()
            return
        self.send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(BadAnswer(f"the connection was closed without an answer ({error})"))
