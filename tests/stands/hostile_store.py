"""A media store on a raw socket that misbehaves as it is told."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator


class Visit:
    """One connection's request, to be answered by a behaviour."""

    def __init__(self, connection: socket.socket, head: bytes, rest: bytes, store: "HostileStore") -> None:
        self.connection = connection
        self.head = head
        self.over = store.over
        self.canary = store.canary
        self._store = store
        self._rest = rest

    @property
    def is_upload(self) -> bool:
        return self.head.startswith(b"POST ")

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode("latin-1")

    def header(self, name: str) -> str | None:
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None

    def read_body(self) -> bytes:
        wanted = int(self.header("content-length") or 0)
        body = self._rest
        while len(body) < wanted and (chunk := self.connection.recv(65536)):
            body += chunk
        self._store.stored.append(body)
        return body

    def send(self, content: bytes) -> None:
        self.connection.sendall(content)

    def say(self, status: str, body: bytes = b"", *headers: str, length: bool = True) -> None:
        lines = [f"HTTP/1.1 {status}", *headers]
        if length:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def drip(self, content: Iterator[bytes], seconds: float) -> None:
        for piece in content:
            self.send(piece)
            if self.over.wait(seconds):
                return

    def reset(self) -> None:
        """Ends the connection with RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


Behaviour = Callable[[Visit], None]


class HostileStore:
    """Treats items as ``behaviour`` does; honest to ``GET /prefix/``, unless it is ``thorough``.

    It hangs up after an answer, whatever that promised, unless it is ``patient``.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        canary: str = "127.0.0.1:9",
        thorough: bool = False,
        patient: bool = False,
    ) -> None:
        self.canary = canary
        self.over = threading.Event()
        self.heads: list[bytes] = []
        self.stored: list[bytes] = []
        self.connections = 0
        self._behaviour = behaviour
        self._thorough = thorough
        self._patient = patient
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._listen)]
        self._threads[0].start()

    @property
    def origin(self) -> tuple[str, int]:
        host, port = self._listener.getsockname()
        return host, port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.origin[1]}/prefix"

    @property
    def paths(self) -> list[str]:
        return [head.split(b" ", 2)[1].decode("latin-1") for head in self.heads]

    def close(self) -> None:
        if self.over.is_set():
            return
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join()
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        # The other side may hang up at any point, and often should.
        with connection, contextlib.suppress(OSError):
            while not self.over.is_set() and (visit := self._receive(connection)):
                self.heads.append(visit.head)
                if visit.path == "/prefix/" and not self._thorough:
                    visit.say("200 OK", b"here")
                    continue
                self._behaviour(visit)
                if not self._patient:
                    break
        self._open.discard(connection)

    def _receive(self, connection: socket.socket) -> Visit | None:
        received = b""
        while b"\r\n\r\n" not in received:
            if not (chunk := connection.recv(65536)):
                return None
            received += chunk
        head, _, rest = received.partition(b"\r\n\r\n")
        return Visit(connection, head, rest, self)


class Canary:
    """A port that nobody should ever connect to."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def visits(self) -> int:
        """Connections so far: the kernel accepts them without our help."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                self._listener.accept()[0].close()
                count += 1
        return count

    def close(self) -> None:
        self._listener.close()
