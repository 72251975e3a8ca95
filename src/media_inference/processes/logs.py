"""Logs on stderr: one line per event, for people on a terminal, as JSON elsewhere."""

import io
import json
import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

from media_inference.settings import Settings


def set_up_logs(settings: Settings) -> None:
    """Sends this process's logs, and those of its libraries, to stderr."""
    stderr: TextIO = sys.stderr or cast("TextIO", _Nowhere())
    text = settings.log_format == "text" or (settings.log_format == "auto" and stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[Processor] = [_show, _console(stderr)] if text else [structlog.processors.format_exc_info, _as_json]
    handler = logging.StreamHandler(stderr)  # of libraries; our own lines, one for each request, take a shorter way
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.value)
    for noisy in ("alembic", "httpx2", "httpcore2", "httpx", "uvicorn.error", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, *renderer],
        logger_factory=lambda *_: _Lines(handler),
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level.value),
        cache_logger_on_first_use=False,
    )


class _Nowhere(io.TextIOBase):
    """In the place of a stderr that was closed before the start."""

    def write(self, text: str) -> int:
        return len(text)


class _Lines:
    """Writes finished lines where a handler writes. One that can't be written is lost, and nothing else is."""

    def __init__(self, handler: logging.StreamHandler[TextIO]) -> None:
        self._handler = handler

    def info(self, line: str) -> None:
        """A line of any level."""
        self._handler.acquire()
        try:
            with suppress(OSError, ValueError):  # ValueError: the stream is closed
                self._handler.stream.write(line + "\n")
                self._handler.flush()
        finally:
            self._handler.release()

    debug = warning = error = critical = info


_encode = json.JSONEncoder(default=repr).encode  # json.dumps would make an encoder for each line


def _as_json(_logger: object, _method: str, event: EventDict) -> str:
    return _encode(event)


def _show(_logger: object, _method: str, event: EventDict) -> EventDict:
    """One line per event, and nothing that moves a terminal's cursor: what can't be shown is written as an escape."""
    return {
        name: repr(value)[1:-1] if isinstance(value, str) and not value.isprintable() else value
        for name, value in event.items()
    }


def _console(stderr: TextIO) -> structlog.dev.ConsoleRenderer:
    # The default formatter draws the variables of each frame, which takes seconds for a database error.
    return structlog.dev.ConsoleRenderer(
        colors=stderr.isatty(), pad_event_to=24, exception_formatter=structlog.dev.plain_traceback
    )
