"""Requests to the hub, in the session of ``huggingface_hub``: token, proxies and offline mode as its users know them.

That library is imported late, a start does not need it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2

from media_inference.errors import DownloadFailed, DownloadInterrupted, HubUnreachable


@contextmanager
def opened(method: str, address: str, timeout_s: float, *, start: int = 0) -> Iterator[httpx2.Response]:
    """An open response, its body unread; ``start``: the first byte that is asked for.

    Raises `HubUnreachable` when there is none, `DownloadInterrupted` when it breaks off or is silent for ``timeout_s``.
    """
    from huggingface_hub import get_session
    from huggingface_hub.errors import OfflineModeIsEnabled

    # A redirect to another origin loses the token by itself.
    follow, open_yet = method == "GET", False
    exchange = get_session().stream(
        method, address, headers=_headers(start), timeout=timeout_s, follow_redirects=follow
    )
    try:
        with exchange as response:
            open_yet = True
            yield response
    except OfflineModeIsEnabled:
        raise HubUnreachable("HF_HUB_OFFLINE is set, so nothing is downloaded") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        reason = " ".join((str(error) or type(error).__name__).split())
        if open_yet:
            raise DownloadInterrupted(f"the download from {host_of(address)} broke off ({reason})") from None
        raise HubUnreachable(f"the hub at {host_of(address)} can't be reached ({reason})") from None


def check_reachable(endpoint: str | None, timeout_s: float) -> None:
    """Raises `HubUnreachable` when the hub answers nothing at all within ``timeout_s``.

    One request, in a thread: looking up a name has no timeout, and each address of a host has its own.
    """
    from huggingface_hub import constants

    hub = endpoint or constants.ENDPOINT
    answer: list[DownloadFailed | None] = []

    def ask() -> None:
        try:
            with opened("HEAD", hub, timeout_s):
                answer.append(None)
        except DownloadFailed as error:
            answer.append(error)

    thread = threading.Thread(target=ask, name="hub-check", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not answer:
        raise HubUnreachable(f"the hub at {host_of(hub)} did not answer within {timeout_s:g} s")
    if answer[0] is not None:
        raise answer[0]


def host_of(address: str) -> str:
    """Host and port, for a message."""
    return urlsplit(address).netloc or address


def _headers(start: int) -> dict[str, str]:
    from huggingface_hub import get_token

    token = get_token()
    return (
        {"Accept-Encoding": "identity"}
        | ({"Authorization": f"Bearer {token}"} if token else {})
        | ({"Range": f"bytes={start}-"} if start else {})
    )
