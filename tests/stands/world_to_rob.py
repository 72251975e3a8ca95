"""What foreign code in a decoder's child would be after: a database, servers, its parent's memory and peace."""

import ctypes
import select
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SECRET = b"not for photos"


@dataclass
class World:
    """What there is to steal, and what came of it."""

    folder: Path
    port: int
    """Of a server that tells everybody the secret; so do both sockets."""
    secret: "ctypes.Array[ctypes.c_char]"
    """In the parent's memory."""
    signals: list[int] = field(default_factory=list)
    """SIGUSR1s that reached the parent."""

    @property
    def database(self) -> Path:
        """A real one."""
        return self.folder / "jobs.db"

    @property
    def written(self) -> Path:
        """A file that nobody should write."""
        return self.folder / "written"

    @property
    def socket(self) -> str:
        """A Unix socket's path."""
        return str(self.folder / "socket")

    @property
    def abstract(self) -> str:
        """An abstract Unix socket, with @ for its first byte."""
        return f"@{self.folder}"


@contextmanager
def world_to_rob(folder: Path) -> Iterator[World]:
    """All of it, below the folder. For the main thread, which takes the signals."""
    (folder / "service").mkdir()
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as path, socket.socket(socket.AF_UNIX) as abstract:
        tcp.bind(("127.0.0.1", 0))
        world = World(folder / "service", tcp.getsockname()[1], ctypes.create_string_buffer(SECRET))
        _make_database(world.database)
        path.bind(world.socket)
        abstract.bind(world.abstract.replace("@", "\0"))
        with _talkative([tcp, path, abstract]), _counted_signals(world):
            yield world


def _make_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE jobs AS SELECT 'not for photos' AS payload")
    connection.close()


@contextmanager
def _counted_signals(world: World) -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, lambda number, _: world.signals.append(number))
    yield
    signal.signal(signal.SIGUSR1, before)


@contextmanager
def _talkative(servers: list[socket.socket]) -> Iterator[None]:
    for server in servers:
        server.listen()
    end, here = socket.socketpair()
    thread = threading.Thread(target=_serve, args=(servers, here))
    with end, here:
        thread.start()
        yield
        end.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(servers: list[socket.socket], until: socket.socket) -> None:
    while until not in (ready := select.select([until, *servers], [], [])[0]):
        for server in ready:
            connection, _ = server.accept()
            with connection:
                connection.sendall(SECRET)
