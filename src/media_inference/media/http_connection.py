"""Connections that tell whether more came than the answer.

After an answer with a too small Content-Length the HTTP library would read what is left as the answer to the next
request on that connection: another item's bytes, or an error that is not its own (RFC 9112, section 11.1). So a
connection is used again only after an answer whose bytes were counted and found to be all that came.
"""

import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2

END_OF_HEAD = b"\r\n\r\n"


class CountedStream(httpcore2.AsyncNetworkStream):
    """A connection that counts what came since the last request."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._head: bytearray | None = bytearray()
        self._received = 0
        self._clean = False

    def note_end(self, body_length: int) -> None:
        """The answer was read; it ended after so many bytes of body."""
        self._clean = self._head is None and self._received == body_length

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # the library's
        """See `httpcore2.AsyncNetworkStream`."""
        data = await self._stream.read(max_bytes, timeout)
        self._count(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # the library's
        """See `httpcore2.AsyncNetworkStream`."""
        self._head, self._received, self._clean = bytearray(), 0, False
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """See `httpcore2.AsyncNetworkStream`."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # the library's
    ) -> "CountedStream":
        """See `httpcore2.AsyncNetworkStream`."""
        return CountedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """See `httpcore2.AsyncNetworkStream`. The pool closes an idle connection on which there is more to read."""
        if info == "is_readable" and not self._clean:
            return True
        return self._stream.get_extra_info(info)

    def _count(self, data: bytes) -> None:
        """Counts bytes behind the first head. An interim answer has no body, so after one the count never matches."""
        if self._head is None:
            self._received += len(data)
            return
        self._head += data
        if (end := self._head.find(END_OF_HEAD)) >= 0:
            self._received = len(self._head) - end - len(END_OF_HEAD)
            self._head = None


class CountedBackend(httpcore2.AsyncNetworkBackend):
    """Opens counted connections."""

    def __init__(self) -> None:
        self._backend = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the library's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> CountedStream:
        """See `httpcore2.AsyncNetworkBackend`."""
        return CountedStream(await self._backend.connect_tcp(host, port, timeout, local_address, socket_options))
