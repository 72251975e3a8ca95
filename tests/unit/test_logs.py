"""Lines of the log: ours and those of libraries look alike, and one that can't be written ends nothing."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO, cast

import pytest
import structlog

from media_inference.processes.logs import set_up_logs
from media_inference.settings import load_settings


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def set_up(monkeypatch: pytest.MonkeyPatch, stderr: TextIO, **settings: Any) -> None:
    monkeypatch.setattr(sys, "stderr", stderr)
    set_up_logs(load_settings(_env_file=None, **settings))


def test_our_lines_and_those_of_libraries_have_the_same_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    set_up(monkeypatch, written, log_format="json")
    with structlog.contextvars.bound_contextvars(request_id="r"):
        structlog.get_logger().warning("said", action="say", path=Path("x"), none=None)
        logging.getLogger("somebody's library").warning("said")
    ours, theirs = (json.loads(line) for line in written.getvalue().splitlines())
    assert datetime.fromisoformat(ours.pop("timestamp")).tzinfo is not None
    assert datetime.fromisoformat(theirs.pop("timestamp")).tzinfo is not None
    assert theirs == {"event": "said", "level": "warning", "request_id": "r"}
    assert ours == {**theirs, "action": "say", "path": repr(Path("x")), "none": None}


def test_an_exception_is_one_line_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    set_up(monkeypatch, written, log_format="json")
    try:
        json.loads("broken")
    except ValueError:
        structlog.get_logger().exception("failed", action="fail")
    (line,) = written.getvalue().splitlines()
    told = json.loads(line)
    assert (told["level"], told["action"]) == ("error", "fail")
    assert "JSONDecodeError" in told["exception"]


@pytest.mark.parametrize("form", ["auto", "json", "text"])
def test_a_process_without_stderr_writes_no_log(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """Python has None in its place where it was closed before the start."""
    set_up(monkeypatch, cast("TextIO", None), log_format=form)
    structlog.get_logger().info("said", action="say")
    logging.getLogger("somebody's library").warning("said")


@pytest.mark.parametrize("form", ["json", "text"])
def test_lines_below_the_level_are_not_written(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    written = io.StringIO()
    set_up(monkeypatch, written, log_format=form, log_level="WARNING")
    for say in (structlog.get_logger().info, structlog.get_logger().warning, logging.getLogger("library").info):
        say("said")
    structlog.get_logger().log(logging.CRITICAL, "said")
    assert len(written.getvalue().splitlines()) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_takes_lines_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with io.FileIO("/dev/full", "w") as raw:
        full = io.TextIOWrapper(raw, write_through=True)
        with pytest.raises(OSError, match="No space left"):
            full.write("lost\n")
        set_up(monkeypatch, full, log_format="json")
        structlog.get_logger().warning("lost", action="lose")


def test_a_closed_stream_takes_lines_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    set_up(monkeypatch, closed, log_format="json")
    closed.close()
    structlog.get_logger().warning("lost", action="lose")
