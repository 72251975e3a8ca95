"""Clients that keep their connections, and say little or too much on them."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from media_inference.api.services import Services
from media_inference.jobs.job import NewJob
from media_inference.jobs.outcome import Artifact, Findings
from media_inference.processes.connection import ConnectionBounds
from tests.stands.running_service import until
from tests.stands.served_api import ServedApi, served

pytestmark = pytest.mark.slow

ASK = b"GET /livez HTTP/1.1\r\nHost: here\r\n\r\n"
QUICK = ConnectionBounds(head_seconds=1.0, reading_seconds=0.3, linger_seconds=0.1)
SOON = 10.0
"""Seconds, on a busy machine: by the usual bounds it would be fifteen."""


class Wire:
    """A connection, byte by byte."""

    def __init__(self, api: ServedApi) -> None:
        self.socket = socket.create_connection(api.address, timeout=20)

    def send(self, content: bytes) -> None:
        """Sends as much as the service takes."""
        try:
            self.socket.sendall(content)
        except (BrokenPipeError, ConnectionResetError):
            return  # it has heard enough; the answer is there to be read

    def until_closed(self) -> bytes:
        """All that comes until the service closes."""
        content = b""
        try:
            while piece := self.socket.recv(65536):
                content += piece
        except ConnectionResetError:
            pass
        return content

    def answer(self) -> bytes:
        """What comes first."""
        return self.socket.recv(65536)

    def is_open(self) -> bool:
        """Whether a request is answered with 200 here."""
        self.send(ASK)
        return self.answer().startswith(b"HTTP/1.1 200")


@contextmanager
def wired(services: Services, bounds: ConnectionBounds, count: int = 1) -> Iterator[tuple[ServedApi, list[Wire]]]:
    """A service with some connections to it."""
    with served(services, bounds) as api, ExitStack() as opened:
        wires = [Wire(api) for _ in range(count)]
        for wire in wires:
            opened.enter_context(wire.socket)
        yield api, wires


@pytest.mark.parametrize(
    ("said", "too_slow"),
    [
        (b"", False),
        (b"GET /livez HT", True),
        (b"\r\n\r\n", True),
        (ASK, False),
        (ASK + b"GET /li", True),
        (ASK + b"\r\n", False),
    ],
)
def test_a_connection_without_a_whole_head_ends(services: Services, said: bytes, too_slow: bool) -> None:
    started = time.monotonic()  # before it is connected: the time for its head begins then
    with wired(services, QUICK) as (api, [wire]):
        wire.send(said)
        heard = wire.until_closed()
        assert 0.9 * QUICK.head_seconds < time.monotonic() - started < SOON
        until(api.connections, lambda left: left == 0)
    assert heard.count(b"HTTP/1.1 200") == said.count(ASK)
    assert (b"HTTP/1.1 408 " in heard and b"head_too_slow" in heard) is too_slow


def test_a_head_that_drips_ends_however_often_a_byte_comes(services: Services) -> None:
    with wired(services, QUICK) as (_, [wire]):
        stop = threading.Event()

        def drip() -> None:
            wire.send(b"GET /livez HTTP/1.1\r\nX-Slow: ")
            while not stop.wait(0.05):
                wire.send(b"a")

        dripping = threading.Thread(target=drip)
        dripping.start()
        started = time.monotonic()
        heard = wire.until_closed()
        stop.set()
        dripping.join()
    assert time.monotonic() - started < SOON
    assert heard.startswith(b"HTTP/1.1 408 ")


def test_the_rest_of_a_body_that_was_answered_may_not_come_for_ever(services: Services) -> None:
    with wired(services, QUICK) as (_, [wire]):
        stop = threading.Event()
        wire.send(b"POST /media HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\n")
        assert wire.answer().startswith(b"HTTP/1.1 401 ")

        def drip() -> None:
            while not stop.wait(0.05):
                wire.send(b"a")

        dripping = threading.Thread(target=drip)
        dripping.start()
        started = time.monotonic()
        wire.until_closed()
        stop.set()
        dripping.join()
    assert time.monotonic() - started < SOON


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET /livez?" + b"q" * 40_000 + b" HTTP/1.1\r\nHost: here\r\n\r\n", b"431"),
        (b"GET /livez?" + b"q" * 400_000, b"431"),
        (b"GET /livez HTTP/1.1\r\nX-Long: " + b"a" * 40_000 + b"\r\n\r\n", b"431"),
        (b"GET /livez HTTP/1.1\r\nX-Long: " + b"a" * 400_000, b"431"),
        (b"GET /livez HTTP/1.1\r\n" + b"a:\r\n" * 1_000 + b"\r\n", b"431"),
        (b"GET /livez HTTP/1.1\r\n" + b"a:\r\n" * 500_000, b"431"),
        (b"GET /livez?" + b"q" * 20_000 + b" HTTP/1.1\r\nHost: here\r\n\r\n", b"200"),
        (b"GET /livez HTTP/1.1\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n", b"200"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"GET /\xff HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", b"400"),
    ],
)
def test_the_head_has_a_size(services: Services, said: bytes, status: bytes) -> None:
    bounds = QUICK if status == b"200" else replace(QUICK, head_seconds=20)
    with wired(services, bounds) as (_, [wire]):
        wire.send(said)
        heard = wire.until_closed()
    assert heard.startswith(b"HTTP/1.1 " + status), heard[:80]
    if status != b"200":
        assert b"content-type: application/problem+json" in heard
        assert b"connection: close" in heard.lower()
        assert b"content-security-policy: default-src 'none'" in heard.lower()


@pytest.mark.parametrize("endless", [b"0\r\nX-Trailer: " + b"a" * 400_000, b"0\r\n" + b"a: b\r\n" * 200_000])
def test_nothing_endless_is_kept_behind_a_body(services: Services, tokens: dict[str, str], endless: bytes) -> None:
    head = b"POST /job/face_detection HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n"
    head += b"Authorization: Bearer " + tokens["permission"].encode() + b"\r\n\r\n"
    with wired(services, replace(QUICK, head_seconds=20)) as (api, [wire]):
        wire.send(head + b"2\r\n{}\r\n")
        wire.send(endless)
        heard = wire.until_closed()
        until(api.connections, lambda left: left == 0)
    assert b"HTTP/1.1 2" not in heard


def test_a_client_that_reads_nothing_is_cut(services: Services) -> None:
    services.queue.submit(NewJob("face_detection", "1", 5))
    claim = services.queue.claim("w")
    assert claim is not None
    crop = Artifact("faces/0.jpg", bytes(30_000_000))
    staged = services.artifacts.stage(claim.job_id, claim.lease_token, (crop,))
    assert services.queue.settle(claim, Findings({"faces": []}, None, (crop,)), staged.promote)
    ask = f"GET /job/{claim.job_id}/faces/0.jpg HTTP/1.1\r\nHost: here\r\n\r\n".encode()
    with wired(services, QUICK) as (api, [wire]):
        wire.send(ask * 3)
        assert wire.socket.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
        until(api.connections, lambda left: left == 0, 30)  # by the usual bounds it would be a minute


def test_an_idle_connection_makes_room_for_a_new_one(services: Services) -> None:
    with wired(services, ConnectionBounds(connections=3)) as (api, [first]):
        assert first.is_open()
        with Wire(api).socket, Wire(api).socket, Wire(api).socket:
            started = time.monotonic()
            assert first.until_closed() == b""
            assert time.monotonic() - started < SOON  # it was not closed for keeping it too long
            assert api.connections() == 3
        until(api.connections, lambda left: left == 0)


def test_connections_beyond_the_bound_are_told_to_come_back_and_far_beyond_it_are_cut(services: Services) -> None:
    busy = b"GET /livez HTTP/1.1\r\n"
    with wired(services, ConnectionBounds(connections=4), 4) as (api, wires):
        for wire in wires:
            wire.send(busy)
        until(lambda: _idle(api), lambda idle: idle == 0)
        told = Wire(api)
        told.send(busy)
        until(lambda: (api.connections(), _idle(api)), lambda seen: seen == (5, 0))
        cut = Wire(api)
        with told.socket, cut.socket:
            assert cut.until_closed() == b""
            told.send(b"\r\n")
            heard = told.until_closed()
        assert heard.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in heard
        for wire in wires:
            wire.send(b"\r\n")
            assert wire.answer().startswith(b"HTTP/1.1 200 ")


def _idle(api: ServedApi) -> int:
    return sum(one.is_idle for one in list(api._server.server_state.connections))  # type: ignore[union-attr]  # ours


def test_an_upgrade_that_nobody_offers_is_an_ordinary_request(services: Services) -> None:
    for wanted in (b"websocket", b"h2c"):
        with wired(services, QUICK) as (_, [wire]):
            wire.send(b"GET /livez HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: " + wanted + b"\r\n\r\n")
            assert wire.until_closed().startswith(b"HTTP/1.1 200 ")
