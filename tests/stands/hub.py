"""A model hub on loopback with the hub's addresses: ``/{repo}/resolve/{revision}/{path}``."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub:
    """Files by address. ``break_off_after``: bytes of a file after which the connection is closed."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.break_off_after: int | None = None
        self.url = ""

    def put(self, repo: str, revision: str, path: str, content: bytes) -> None:
        """Offers a file."""
        self.files[f"/{repo}/resolve/{revision}/{path}"] = content


@contextmanager
def hub() -> Iterator[Hub]:
    """A running hub."""
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            state.requests.append(f"HEAD {self.path}")
            self.send_response(200 if self.path in state.files else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            state.requests.append(f"GET {self.path}")
            content = state.files.get(self.path)
            self.send_response(404 if content is None else 200)
            body = content or b""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.break_off_after])
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
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
