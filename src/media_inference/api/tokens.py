"""ES256 tokens: who is calling, and what they may do."""

import math
import os
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import jwt
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from media_inference.errors import CannotStart, MediaInferenceError

ALGORITHM = "ES256"
LONGEST_TOKEN = 8 * 1024
CLOCK_SKEW = 5.0
"""Seconds by which the clock of whoever signs may be ahead of ours, or behind."""

# Headers by which a token could bring its own key, or demand processing that we don't know (RFC 8725, 3.1 and 3.10).
_REFUSED_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "crit"})
_LARGEST_KEY_FILE = 64 * 1024

log = structlog.get_logger(__name__)


class TokenRefused(MediaInferenceError):
    """The caller is not known. The message is for the log: it names the rule, never the token."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request."""

    subject: str
    permissions: frozenset[str] = frozenset()
    is_admin: bool = False
    expires_at: float = field(default=math.inf, compare=False)
    """Seconds since 1970 UTC."""

    def may(self, permission: str) -> bool:
        """Whether the caller has a permission."""
        return permission in self.permissions


class Access(Protocol):
    """Decides who a caller is."""

    def identify(self, token: str | None) -> Caller | None:
        """The caller who sent the token; None: callers aren't told apart, everybody may do all.

        Raises `TokenRefused`.
        """
        ...


class OpenAccess:
    """Demo mode: everybody may do all."""

    def identify(self, token: str | None) -> None:
        """Nobody in particular, whatever the token."""


def create_key_pair() -> tuple[bytes, bytes]:
    """A new P-256 key pair as (private PEM, public PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public


def sign(
    private_key_pem: bytes,
    *,
    subject: str,
    permissions: Collection[str] = (),
    admin: bool = False,
    ttl_seconds: float,
    issuer: str | None = None,
    audience: str | None = None,
) -> str:
    """A token that is valid for ``ttl_seconds`` from now.

    Raises `CannotStart` when the PEM is not a P-256 private key.
    """
    key = _private_key(private_key_pem)
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": subject,
        "permissions": sorted(permissions),
        "is_admin": admin,
        "iat": now,
        "exp": now + int(ttl_seconds),
    }
    claims |= {name: value for name, value in (("iss", issuer), ("aud", audience)) if value is not None}
    return jwt.encode(claims, key, algorithm=ALGORITHM)


class TokenVerifier:
    """Knows callers by tokens signed with the private half of ``public_key_path``, which is re-read when it changes.

    ``issuer`` and ``audience`` are checked when given. Raises `CannotStart` when the key can't be used; a later key
    that can't be used is logged, and the one before it stays.
    """

    def __init__(self, public_key_path: Path, issuer: str | None = None, audience: str | None = None) -> None:
        self._path = public_key_path
        self._issuer = issuer
        self._audience = audience
        self._lock = threading.Lock()
        self._seen = _fingerprint(public_key_path)
        self._key = _load_public_key(public_key_path)

    def identify(self, token: str | None) -> Caller:
        """The caller who sent the token. Raises `TokenRefused`."""
        if not token:
            raise TokenRefused("no bearer token")
        if len(token) > LONGEST_TOKEN:
            raise TokenRefused("longer than 8 KiB")
        if not token.isascii():
            raise TokenRefused("not ASCII")
        try:
            if not _REFUSED_HEADERS.isdisjoint(jwt.get_unverified_header(token)):
                raise TokenRefused("a header that tokens must not have")
            claims = jwt.decode(
                token,
                self._current_key(),
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                leeway=CLOCK_SKEW,
                options={"require": ["sub", "exp"], "verify_aud": self._audience is not None},
            )
        except jwt.PyJWTError as error:
            raise TokenRefused(type(error).__name__) from error
        return _caller(claims)

    def _current_key(self) -> ec.EllipticCurvePublicKey:
        with self._lock:
            fingerprint = _fingerprint(self._path)
            if fingerprint != self._seen:
                self._seen = fingerprint
                self._take_new_key()
            return self._key

    def _take_new_key(self) -> None:
        try:
            self._key = _load_public_key(self._path)
        except CannotStart as error:
            log.warning("public key unusable, the one before stays", action="public_key_unusable", reason=str(error))
        else:
            log.info("public key re-read", action="public_key_changed")


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it has a password
        raise CannotStart("the key to sign with is not a private key in PEM form without password") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CannotStart("the key to sign with is not a P-256 key, which ES256 needs")
    return key


def _caller(claims: Mapping[str, Any]) -> Caller:
    expires = claims["exp"]
    if isinstance(expires, bool) or not isinstance(expires, int | float):  # PyJWT takes "1700000000" too
        raise TokenRefused("exp is not a number")
    if not claims["sub"]:
        raise TokenRefused("sub is empty")
    permissions = claims.get("permissions", [])
    if not isinstance(permissions, list) or not all(isinstance(permission, str) for permission in permissions):
        raise TokenRefused("permissions is not a list of strings")
    is_admin = claims.get("is_admin", False)
    if not isinstance(is_admin, bool):
        raise TokenRefused("is_admin is not a boolean")
    return Caller(claims["sub"], frozenset(permissions), is_admin, expires + CLOCK_SKEW)


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _load_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    try:
        with path.open("rb") as file:
            pem = file.read(_LARGEST_KEY_FILE)
    except OSError as error:
        raise CannotStart(
            f"PUBLIC_KEY_PATH: {path} can't be read ({os.strerror(error.errno or 0)}): put the ES256 public key of "
            "whoever signs your tokens there, or set AUTH_DISABLED=true to let everybody do all"
        ) from error
    if b"PRIVATE KEY" in pem:
        raise CannotStart(f"PUBLIC_KEY_PATH: {path} holds a private key: put the public key alone there")
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CannotStart(f"PUBLIC_KEY_PATH: {path} is not a public key in PEM form") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CannotStart(f"PUBLIC_KEY_PATH: {path} is not a P-256 key, which ES256 needs")
    return key
