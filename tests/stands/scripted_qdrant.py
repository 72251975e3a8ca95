"""A Qdrant server that fails as it is told to: the one of `qdrant_server`, behind a listener of its own."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.stands.free_port import free_port
from tests.stands.qdrant_server import Json, QdrantServer, qdrant_server


class Behaviour(StrEnum):
    """What it does with a request. ``gone``: nobody listens. ``cut_off``: it does what it is told, and hangs up."""

    SERVE = "serve"
    GONE = "gone"
    HANG = "hang"
    ERROR = "error"
    BUSY = "busy"
    GARBAGE = "garbage"
    CUT_OFF = "cut_off"


class ScriptedQdrant:
    """Its points are safe in the real engine, whatever its behaviour.

    ``served`` and ``failed``: the requests so far, as ``PUT /collections/faces/points``.
    """

    def __init__(self, qdrant: QdrantServer) -> None:
        self.served: list[str] = []
        self.failed: list[str] = []
        self._qdrant = qdrant
        self._port = free_port()
        self._behaviour = Behaviour.GONE
        self._changed = threading.Event()
        self._connections: set[socket.socket] = set()
        self._listener: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Its address, the same for as long as it lives."""
        return f"http://127.0.0.1:{self._port}"

    def behave(self, behaviour: Behaviour) -> None:
        """From now on; connections of before are cut."""
        self._stop()
        self._behaviour = behaviour
        if behaviour is not Behaviour.GONE:
            self._start()

    def serve(self, request: "_Request", body: Json) -> None:
        """Answers a request, or does not."""
        behaviour = self._behaviour
        (self.served if behaviour is Behaviour.SERVE else self.failed).append(f"{request.command} {request.path}")
        match behaviour:
            case Behaviour.HANG:
                self._changed.wait()
            case Behaviour.ERROR:
                request.send(500, {"status": {"error": "Service internal error"}, "time": 0.0})
            case Behaviour.BUSY:
                request.send(503, {"status": {"error": "starting"}, "time": 0.0})
            case Behaviour.GARBAGE:
                request.send(200, "<html>welcome to the proxy</html>")
            case _:
                status, headers, result = self._qdrant.answer(request.command, request.path, body)
                if behaviour is Behaviour.SERVE:
                    request.send(status, {"result": result, "status": "ok", "time": 0.0}, headers)

    def connect(self, connection: socket.socket) -> None:
        """Remembers a connection, to cut it."""
        self._connections.add(connection)

    def _start(self) -> None:
        self._changed.clear()
        self._listener = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.01,), name="scripted-qdrant")
        self._thread.start()

    def _stop(self) -> None:
        self._changed.set()
        if self._listener is None or self._thread is None:
            return
        self._listener.shutdown()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._listener.server_close()  # waits for the threads of its requests
        self._thread.join()
        self._listener, self._thread = None, None
        self._connections.clear()


class _Request(BaseHTTPRequestHandler):
    """One request, with its answer."""

    def send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        """Sends JSON, or any text in its place."""
        body = (content if isinstance(content, str) else json.dumps(content)).encode()
        with suppress(OSError):  # cut, or the client has gone
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the superclass's
        pass


def _handler(stand: ScriptedQdrant) -> type[BaseHTTPRequestHandler]:
    class Handler(_Request):
        def _serve(self) -> None:
            stand.connect(self.connection)
            length = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(length)
            if len(content) == length:  # else it was cut on the way
                stand.serve(self, json.loads(content or b"{}"))

        do_GET = do_PUT = do_POST = _serve  # noqa: N815 - the names are the superclass's

    return Handler


@contextmanager
def scripted_qdrant() -> Iterator[tuple[ScriptedQdrant, QdrantServer]]:
    """One that serves, and the engine behind it."""
    with qdrant_server() as qdrant:
        stand = ScriptedQdrant(qdrant)
        stand.behave(Behaviour.SERVE)
        try:
            yield stand, qdrant
        finally:
            stand.behave(Behaviour.GONE)
