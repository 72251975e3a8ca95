"""uvicorn, with what event streams need: to be ended before it stops, and cut when nobody reads them."""

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from media_inference.api.app import create_app
from media_inference.api.event_stream import CUT
from media_inference.api.services import Services

_CLOSE_CONNECTIONS_WITHIN = 5


class HttpServer(uvicorn.Server):
    """Serves ``services`` over HTTP. On its way to the end it would wait for open streams, so those end first.

    So does whatever else requests may wait for: ``on_end`` ends that, in a thread, and may be called again later.
    """

    def __init__(self, services: Services, *, on_end: Callable[[], None] = lambda: None) -> None:
        self._feed = services.feed
        self._on_end = on_end
        super().__init__(
            uvicorn.Config(
                create_app(services),
                http=Connection,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_CLOSE_CONNECTIONS_WITHIN,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the streams and what is waited for, then the rest."""
        self._feed.end_streams()
        await asyncio.to_thread(self._on_end)
        await super().shutdown(sockets)


class Connection(HttpToolsProtocol):
    """A connection that a request may cut: closed in the usual way, it waits until all that was sent has been read."""

    def on_message_begin(self) -> None:
        """Gives the next request the means."""
        super().on_message_begin()
        self.scope["extensions"] = {CUT: self.transport.abort}  # type: ignore[dict-item]  # an extension of our own
