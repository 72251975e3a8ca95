"""The id that ties all lines of the log about one request to its answer."""

import itertools
import re
import uuid

from starlette.types import Scope

REQUEST_ID_HEADER = "X-Request-ID"
_NAME = REQUEST_ID_HEADER.lower().encode()

# Random once: asking the system for each request would let another thread have the interpreter each time.
_OURS = uuid.uuid4().hex[:20]
_numbers = itertools.count()
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id(scope: Scope) -> str:
    """The client's own `X-Request-ID` if it is a plain word, else a new one."""
    given = next((value for name, value in scope["headers"] if name == _NAME), b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else f"{_OURS}{next(_numbers):012x}"
