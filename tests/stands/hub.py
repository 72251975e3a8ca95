"""A model hub on loopback with the hub's addresses: ``/{repo}/resolve/{revision}/{path}``.

It is a proxy too: of an address with a host it serves the path, and a ``CONNECT`` it notes and refuses.
"""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Behaviour:
    """How a download is answered.

    ``cut_after``, ``hold_after``: bytes of the body after which the connection is closed, or kept open in silence until
    ``Hub.go_on``. ``drip``: a byte at a time, slowly. ``drip_head``: so with the head, which never ends. ``status``:
    this instead of the file, with ``retry_after``. ``redirect``: to the same path there. ``ranges`` False: the whole
    file is sent, whatever was asked for. ``length`` False: nobody is told how long the body is.
    """

    cut_after: int | None = None
    hold_after: int | None = None
    drip: bool = False
    drip_head: bool = False
    status: int | None = None
    retry_after: str | None = None
    redirect: str | None = None
    ranges: bool = True
    length: bool = True


@dataclass(frozen=True)
class Received:
    """A request."""

    method: str
    path: str
    range: str | None
    authorization: str | None
    headers: tuple[str, ...]


class Hub:
    """Files by address. ``script``: how the next downloads are answered, one after the other; then all as ``usual``."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.received: list[Received] = []
        self.script: list[Behaviour] = []
        self.usual = Behaviour()
        self.sent = 0
        self.go_on = threading.Event()
        self.holding = threading.Event()
        self.url = ""

    def put(self, repo: str, revision: str, path: str, content: bytes) -> None:
        """Offers a file."""
        self.files[f"/{repo}/resolve/{revision}/{path}"] = content

    @property
    def requests(self) -> list[str]:
        """Method and path of all requests."""
        return [f"{request.method} {request.path}" for request in self.received]

    @property
    def ranges(self) -> list[str | None]:
        """What each download asked for, None for a whole file."""
        return [request.range for request in self.received if request.method == "GET"]

    def next_behaviour(self) -> Behaviour:
        """That of the next download."""
        return self.script.pop(0) if self.script else self.usual


class _Handler(BaseHTTPRequestHandler):
    """Of a hub; a subclass per hub says which."""

    hub: Hub

    def do_HEAD(self) -> None:
        path = self._note()
        self.send_response(200 if path in self.hub.files else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_CONNECT(self) -> None:
        self._note()
        self.send_error(403)

    def do_GET(self) -> None:
        path = self._note()
        behaviour, content = self.hub.next_behaviour(), self.hub.files.get(path)
        if behaviour.redirect is not None:
            self._head(302, ("Location", behaviour.redirect + path), ("Content-Length", "0"))
        elif behaviour.drip_head:
            self._drip_head()
        elif behaviour.status is not None or content is None:
            wish = [] if behaviour.retry_after is None else [("Retry-After", behaviour.retry_after)]
            self._head(behaviour.status or 404, ("Content-Length", "0"), *wish)
        else:
            self._send_file(content, behaviour)
        self.close_connection = True

    def _send_file(self, content: bytes, behaviour: Behaviour) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if behaviour.ranges else None
        start = int(asked[1]) if asked else 0
        if asked and start >= len(content):
            self._head(416, ("Content-Range", f"bytes */{len(content)}"), ("Content-Length", "0"))
            return
        headers = [("Content-Length", str(len(content) - start))] if behaviour.length else []
        if asked:
            headers.append(("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"))
        self._head(206 if asked else 200, *headers)
        self._send_body(content[start:], behaviour)

    def _send_body(self, body: bytes, behaviour: Behaviour) -> None:
        if behaviour.drip:
            for byte in body:
                self._send(bytes([byte]))
                if self.hub.go_on.wait(0.01):
                    return
        elif behaviour.hold_after is not None:
            self._send(body[: behaviour.hold_after])
            self.hub.holding.set()
            self.hub.go_on.wait()
            self._send(body[behaviour.hold_after :])
        else:
            self._send(body[: behaviour.cut_after])

    def _drip_head(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.hub.go_on.wait(0.01):
            self.wfile.write(b"x")

    def _send(self, piece: bytes) -> None:
        self.wfile.write(piece)
        self.hub.sent += len(piece)

    def _head(self, status: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def _note(self) -> str:
        path = self.path if self.command == "CONNECT" else urlsplit(self.path).path
        names = tuple(sorted(name.lower() for name in self.headers))
        known = (self.headers.get("Range"), self.headers.get("Authorization"))
        self.hub.received.append(Received(self.command, path, *known, names))
        return path

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
        """Nothing on stderr."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone away is what some tests are about."""


@contextmanager
def hub() -> Iterator[Hub]:
    """A running hub."""
    state = Hub()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": state}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        state.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def dripping_hub() -> Iterator[str]:
    """The address of a hub that sends a byte of its answer now and then, so that no read of it ever times out."""
    closing = threading.Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not closing.wait(0.1):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            closing.set()
            thread.join()
