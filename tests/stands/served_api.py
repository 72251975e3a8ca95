"""The API on a real HTTP server of this process, for what a client in the same event loop can't show."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from media_inference.api.services import Services
from media_inference.processes.connection import ConnectionBounds
from media_inference.processes.http_server import HttpServer


@contextmanager
def served(services: Services, bounds: ConnectionBounds | None = None) -> Iterator["ServedApi"]:
    """Serves until the block ends."""
    api = ServedApi(services, bounds)
    try:
        yield api
    finally:
        api.stop()


class ServedApi:
    """``url`` is where it listens."""

    def __init__(self, services: Services, bounds: ConnectionBounds | None) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = listener.getsockname()[:2]
        self.url = f"http://127.0.0.1:{self.address[1]}"
        self._server = HttpServer(services, bounds=bounds)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="served-api")
        self._thread.start()

    def connections(self) -> int:
        """How many are open."""
        return len(self._server.server_state.connections)

    def stop(self) -> None:
        """Ends it as SIGTERM does."""
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()
