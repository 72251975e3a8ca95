"""The benchmarks' client of bytes, on a real server."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from benchmarks.http_load import BadAnswer, post, send_all, send_for

ANSWERED = b"\r\ncontent-length: 4\r\n\r\ndone"


@contextmanager
def server(*, refuse_from: int = 1 << 30, hang_up_at: int = 1 << 30) -> Iterator[tuple[int, list[bytes]]]:
    """Answers 201 to every request and keeps their bodies; refuses or hangs up on demand."""
    bodies: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    lock = threading.Lock()

    def serve(connection: socket.socket) -> None:
        with suppress(ConnectionError), connection, connection.makefile("rb") as file:
            while line := file.readline():
                assert line.startswith(b"POST "), line
                length = 0
                while (header := file.readline()) != b"\r\n":
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                body = file.read(length)
                with lock:
                    bodies.append(body)
                    count = len(bodies)
                if count >= hang_up_at:
                    return
                status = b"503 Away" if count >= refuse_from else b"201 Created"
                connection.sendall(b"HTTP/1.1 " + status + ANSWERED)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], bodies
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_every_request_is_sent_once() -> None:
    with server() as (port, bodies):
        load = send_all(port, (post("/x", f"{n}".encode()) for n in range(100)), status=201, connections=4)
    assert sorted(bodies, key=int) == [f"{n}".encode() for n in range(100)]
    assert len(load.milliseconds) == 100
    assert load.last_body == b"done"


def test_a_load_for_some_time_goes_round_and_ends() -> None:
    with server() as (port, bodies):
        load = send_for(port, [post("/x", b"a"), post("/x", b"b")], 0.2, status=201, connections=2)
    assert 0.1 < load.seconds < 5  # the clock of its own begins when it is connected
    assert len(load.milliseconds) == len(bodies)
    assert set(bodies) == {b"a", b"b"}


def test_an_answer_of_another_status_ends_the_load() -> None:
    with server(refuse_from=5) as (port, _), pytest.raises(BadAnswer, match="503"):
        send_all(port, (post("/x", b"a") for _ in range(50)), status=201, connections=2)


def test_a_closed_connection_ends_the_load() -> None:
    with server(hang_up_at=5) as (port, _), pytest.raises(BadAnswer, match="closed"):
        send_all(port, (post("/x", b"a") for _ in range(50)), status=201, connections=1)


def test_the_next_request_waits_until_the_answer_is_whole() -> None:
    """While one connection has half an answer the other goes on, twice, so the half has been read by then."""
    answer = b"HTTP/1.1 201 Created" + ANSWERED
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as client:
        requests = (post("/x", b"a") for _ in range(5))
        load = client.submit(send_all, listener.getsockname()[1], requests, status=201, connections=2)
        (halting, _), (lively, _) = listener.accept(), listener.accept()
        with halting, lively:
            receive(halting)
            halting.sendall(answer[:-2])
            for _ in range(2):
                receive(lively)
                lively.sendall(answer)
            receive(lively)
            with pytest.raises(BlockingIOError):
                halting.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            halting.sendall(answer[-2:])
            receive(halting)
            for connection in (halting, lively):
                connection.sendall(answer)
            assert len(load.result(10).milliseconds) == 5


def receive(connection: socket.socket) -> None:
    """One request, whole."""
    received = b""
    while not received.endswith(b"\r\n\r\na"):
        received += connection.recv(4096)
