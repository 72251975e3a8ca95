"""Tokens whose signature was checked: whoever calls often is checked once."""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

from media_inference.api.caller import Caller
from media_inference.api.key_set import KeySet

MOST_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class _Verified:
    caller: Caller
    since: float


class VerifiedTokens:
    """The latest of them, as digests: the tokens themselves are not kept. Safe to use from several threads.

    A token is known only for the keys that it was checked with, and from then until it expires. Whatever else a token
    says about time is true from then on as well; if the clock is put back, it is checked again.
    """

    def __init__(self, most: int = MOST_TOKENS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._keys: KeySet | None = None
        self._known: OrderedDict[bytes, _Verified] = OrderedDict()

    def caller(self, token: str, keys: KeySet, now: float) -> Caller | None:
        """Who sent the token; None when it has to be checked. ``now``: seconds since 1970 UTC."""
        name = _digest(token)
        with self._lock:
            known = self._known.get(name) if keys is self._keys else None
            if known is None:
                return None
            if not known.since <= now < known.caller.expires_at:
                del self._known[name]
                return None
            self._known.move_to_end(name)
            return known.caller

    def add(self, token: str, keys: KeySet, caller: Caller, now: float) -> None:
        """Notes a token that was found good at ``now``. Other keys than before make all others unknown."""
        with self._lock:
            if keys is not self._keys:
                self._keys = keys
                self._known.clear()
            self._known[_digest(token)] = _Verified(caller, now)
            if len(self._known) > self._most:
                self._known.popitem(last=False)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
