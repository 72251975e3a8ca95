"""One connection of a client, with bounds on what it may send and on how long it may keep us waiting.

uvicorn waits for a request's head, for whoever reads an answer, and for the rest of a body that was answered already,
as long as the client likes, and keeps all of a header that never ends.
"""

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from media_inference.api.event_stream import CUT
from media_inference.api.limits import WHOLE
from media_inference.api.problems import ProblemCode, problem_response
from media_inference.api.security_headers import SECURITY_HEADERS

_HEADER_OVERHEAD = 32  # what HTTP/2 counts for a field besides its name and value (RFC 9113, 6.5.2)
_turns = itertools.count()  # finer than any clock


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """``connections`` may be open at once. Others make an idle one close; if none is, their requests get 503.

    ``head_bytes``: of a request's address and headers, each header counted with 32 bytes more. ``loose_bytes``: that
    have come and are neither a whole head nor a body. ``head_seconds``: for a head to come, from the end of the answer
    before it. ``reading_seconds``: that a client may read nothing. ``linger_seconds``: to read the last answer.
    """

    connections: int = 512
    head_bytes: int = 32 * 1024
    loose_bytes: int = 64 * 1024
    head_seconds: float = 15.0
    reading_seconds: float = 60.0
    linger_seconds: float = 5.0


class Connection(HttpToolsProtocol):
    """A connection that is always in the middle of a request, or has a time at which it ends.

    A request may cut it: closed in the usual way, it waits until all that was sent has been read.
    """

    def __init__(self, *args: Any, bounds: ConnectionBounds, **options: Any) -> None:
        super().__init__(*args, **options)
        self._bounds = bounds
        self._head_bytes = 0
        self._loose_bytes = 0
        self._since = 0
        self._head_deadline: asyncio.TimerHandle | None = None
        self._reading_deadline: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked for or on its way."""
        return self._head_deadline is not None and self._loose_bytes == 0 and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Lets it in, or has what it asks refused; far above the bound no descriptor is left for politeness."""
        super().connection_made(transport)
        self._wait_for_head()
        most = self._bounds.connections
        if len(self.connections) <= most or self._close_an_idle_one():
            return
        self.app = _refusal(ProblemCode.TOO_BUSY)
        if len(self.connections) > most + most // 4:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops every clock."""
        super().connection_lost(exc)
        for deadline in (self._head_deadline, self._reading_deadline, self.timeout_keep_alive_task):
            if deadline is not None:
                deadline.cancel()

    def data_received(self, data: bytes) -> None:
        """Takes what came, unless it is a head, a trailer or the size of a chunk that never ends."""
        self._loose_bytes += len(data)
        super().data_received(data)
        if self._loose_bytes > self._bounds.loose_bytes:
            self._refuse(ProblemCode.HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Gives the next request the means to cut the connection."""
        super().on_message_begin()
        self._head_bytes = 0
        self._loose_bytes = self._loose_bytes or 1  # it came along with the end of another request
        self.scope["extensions"] = {CUT: self.transport.abort}  # type: ignore[dict-item]  # an extension of our own

    def on_url(self, url: bytes) -> None:
        """Counts the address."""
        super().on_url(url)
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts a header, also one that comes behind the body; those beyond the bound aren't kept."""
        self._head_bytes += len(name) + len(value) + _HEADER_OVERHEAD
        if self._head_bytes <= self._bounds.head_bytes:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hands the request on, or has it refused."""
        self._loose_bytes = 0
        self._stop_waiting_for_head()
        if self._head_bytes > self._bounds.head_bytes:
            self.url = b"/"  # nobody reads it, and the parser of addresses has a bound of its own
            self.app = _refusal(ProblemCode.HEAD_TOO_LARGE)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Takes a piece of a body."""
        self._loose_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends a request, and says so."""
        self._loose_bytes = 0
        self.cycle.scope["extensions"][WHOLE] = {}
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Waits for the next head, or for the client to read the last answer."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_later()
        elif self.cycle.response_complete:
            self._wait_for_head()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        super().pause_writing()
        self._reading_deadline = self.loop.call_later(self._bounds.reading_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        if self._reading_deadline is not None:
            self._reading_deadline.cancel()
            self._reading_deadline = None

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more was asked for."""
        super().timeout_keep_alive_handler()
        self._abort_later()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words; ours are a problem document
        """Answers what isn't HTTP."""
        self._refuse(ProblemCode.BAD_REQUEST)

    def _wait_for_head(self) -> None:
        self._stop_waiting_for_head()
        self._since = next(_turns)
        self._head_deadline = self.loop.call_later(self._bounds.head_seconds, self._give_up)

    def _stop_waiting_for_head(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _give_up(self) -> None:
        if self._loose_bytes:
            self._refuse(ProblemCode.HEAD_TOO_SLOW)
        else:
            self.timeout_keep_alive_handler()

    def _close_an_idle_one(self) -> bool:
        others = (cast("Connection", one) for one in self.connections if one is not self)
        idle = min((one for one in others if one.is_idle), key=lambda one: one._since, default=None)  # noqa: SLF001  # of this class
        if idle is not None:
            idle.timeout_keep_alive_handler()
            self.connections.discard(idle)
        return idle is not None

    def _refuse(self, code: ProblemCode) -> None:
        """Ends it with an answer, unless another one is on its way."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:  # type: ignore[redundant-expr]  # None at first
            self.transport.abort()
            return
        answer = _refusal(code)
        lines = [name + b": " + value + b"\r\n" for name, value in answer.raw_headers]
        self.transport.write(b"".join([STATUS_LINE[answer.status_code], *lines, b"\r\n", bytes(answer.body)]))
        self.transport.close()
        self._abort_later()

    def _abort_later(self) -> None:
        self.loop.call_later(self._bounds.linger_seconds, self.transport.abort)


def _refusal(code: ProblemCode) -> Any:
    """An application, and an answer, that ends the connection."""
    return problem_response(code, headers={**SECURITY_HEADERS, "Connection": "close"})
