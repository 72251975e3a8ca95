"""Requests to the hub, in the session of ``huggingface_hub``: token, proxies and offline mode as its users know them.

That library is imported late, a start does not need it.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2

from media_inference.errors import DownloadFailed, DownloadInterrupted, HubUnreachable


@contextmanager
def opened(method: str, address: str, timeout_s: float, *, start: int = 0) -> Iterator[httpx2.Response]:
    """An open response, its body unread; ``start``: the first byte that is asked for.

    Raises `HubUnreachable` when there is none within ``timeout_s``, `DownloadInterrupted` when it breaks off or is
    silent for so long, and `DownloadFailed` when the settings of this machine allow no request at all.
    """
    response = _opened(method, address, timeout_s, start)
    try:
        yield response
    except httpx2.HTTPError as error:
        raise DownloadInterrupted(f"the download from {host_of(address)} broke off ({_reason(error)})") from None
    finally:
        response.close()


def check_reachable(endpoint: str | None, timeout_s: float) -> None:
    """Raises `HubUnreachable` when the hub answers nothing at all within ``timeout_s``, else as `opened`."""
    with opened("HEAD", endpoint or _endpoint(), timeout_s):
        pass


def host_of(address: str) -> str:
    """Host and port, for a message."""
    return urlsplit(address).netloc or address


def _opened(method: str, address: str, timeout_s: float, start: int) -> httpx2.Response:
    from huggingface_hub import get_session
    from huggingface_hub.errors import OfflineModeIsEnabled

    def send() -> httpx2.Response:
        client = get_session()
        request = client.build_request(method, address, headers=_headers(start), timeout=timeout_s)
        # A redirect to another origin loses the token by itself.
        return client.send(request, stream=True, follow_redirects=method == "GET")

    host = host_of(address)
    try:
        return _within(timeout_s, send)
    except OfflineModeIsEnabled:
        raise HubUnreachable("HF_HUB_OFFLINE is set, so nothing is downloaded") from None
    except TimeoutError:
        raise HubUnreachable(f"the hub at {host} did not answer within {timeout_s:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise HubUnreachable(f"the hub at {host} can't be reached ({_reason(error)})") from None
    except (ImportError, OSError, ValueError) as error:  # what a session is made of: proxies, certificates
        raise DownloadFailed(
            f"the hub at {host} can't be asked ({_reason(error)}): look at the variables for proxies (HTTPS_PROXY, "
            "ALL_PROXY) and certificates (SSL_CERT_FILE)"
        ) from None


def _within(seconds: float, send: Callable[[], httpx2.Response]) -> httpx2.Response:
    """What ``send`` returns or raises; `TimeoutError` when that takes longer, and a late response is closed.

    In a thread, because no timeout of the client bounds the whole: looking up a name has none, each address of a host
    and each redirect has its own, and a hub that sends a byte of its head now and then never meets one.
    """
    future: Future[httpx2.Response] = Future()

    def run() -> None:
        try:
            response = send()
        except Exception as error:  # noqa: BLE001  # whoever waits is told
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
            return
        if future.set_running_or_notify_cancel():
            future.set_result(response)
        else:
            response.close()

    threading.Thread(target=run, name="hub", daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError:
        if future.cancel():
            raise
        return future.result()  # it came at the last moment


def _endpoint() -> str:
    try:
        from huggingface_hub import constants
    except ValueError as error:  # it looks at the address when it is imported
        raise DownloadFailed(f"HF_ENDPOINT is no address of a hub ({error})") from None
    return constants.ENDPOINT


def _headers(start: int) -> dict[str, str]:
    token = _token()
    return (
        {"Accept-Encoding": "identity"}
        | ({"Authorization": f"Bearer {token}"} if token else {})
        | ({"Range": f"bytes={start}-"} if start else {})
    )


def _token() -> str | None:
    """Raises `DownloadFailed` for one that can't be read or sent; the line does not show it."""
    from huggingface_hub import get_token

    try:
        token = get_token()
    except (OSError, UnicodeDecodeError) as error:
        raise DownloadFailed(
            f"the file with the token for the hub can't be read ({_reason(error)}): mend or remove it, or set HF_TOKEN"
        ) from None
    if token is not None and not (token.isascii() and token.isprintable()):
        raise DownloadFailed("the token for the hub has characters that no token has: look at HF_TOKEN, or at its file")
    return token


def _reason(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())
