"""The wish of a server to be left alone for a while."""

import time
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 3600.0


def seconds_to_wait(value: str | None) -> float | None:
    """Seconds in a ``Retry-After`` header (RFC 9110, section 10.2.3: a number or a date); None when it says nothing.

    At most an hour, so that a wrong clock on the other side doesn't silence the service for days.
    """
    if value is None:
        return None
    text = value.strip()
    seconds = _number(text) if text.isdecimal() else _until(text)
    return None if seconds is None else min(max(0.0, seconds), LONGEST_SECONDS)


def _number(text: str) -> float:
    return float(text[:12])


def _until(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
