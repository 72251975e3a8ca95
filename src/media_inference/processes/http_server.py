"""uvicorn, which ends event streams before it stops, on connections that keep within bounds."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import uvicorn

from media_inference.api.app import create_app
from media_inference.api.services import Services
from media_inference.processes.connection import Connection, ConnectionBounds

_CLOSE_CONNECTIONS_WITHIN = 5


class HttpServer(uvicorn.Server):
    """Serves ``services`` over HTTP. On its way to the end it would wait for open streams, so those end first.

    So does whatever else requests may wait for: ``on_end`` ends that, in a thread, and may be called again later.
    """

    def __init__(
        self,
        services: Services,
        *,
        bounds: ConnectionBounds | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._feed = services.feed
        self._on_end = on_end
        super().__init__(
            uvicorn.Config(
                create_app(services),
                http=cast("Any", partial(Connection, bounds=bounds or ConnectionBounds())),
                ws="none",
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
