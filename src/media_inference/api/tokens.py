"""ES256 tokens: who is calling, and what they may do."""

import time
from collections.abc import Collection, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.exceptions import InvalidJTIError, InvalidSubjectError

from media_inference.api.caller import Caller
from media_inference.api.jose import decode_base64url, read_object
from media_inference.api.key_file import KeyFile
from media_inference.api.key_set import KeySet, PublicKey
from media_inference.api.verified_tokens import VerifiedTokens
from media_inference.errors import CannotStart, MediaInferenceError

ALGORITHM = "ES256"
LONGEST_TOKEN = 8 * 1024
CLOCK_SKEW = 5.0
"""Seconds by which the clock of whoever signs may be ahead of ours, or behind."""

LONGEST_LIFE = 366 * 86_400.0

# Headers by which a token could bring its own key, or demand processing that we don't know (RFC 8725, 3.1 and 3.10).
_REFUSED_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "enc", "zip"})
_NO_KEYS = KeySet({})
_TIMES = frozenset({"exp", "nbf", "iat"})


class Refusal(StrEnum):
    """Why a token is refused, for the log alone: a closed list, explained in docs/errors.md."""

    MISSING = "missing"
    TOO_LONG = "too_long"
    MALFORMED = "malformed"
    FORBIDDEN_HEADER = "forbidden_header"
    WRONG_ALGORITHM = "wrong_algorithm"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    LASTS_TOO_LONG = "lasts_too_long"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    MISSING_CLAIM = "missing_claim"
    WRONG_CLAIM = "wrong_claim"


# What PyJWT says of a token whose shape is right.
_REFUSALS: Mapping[type[jwt.PyJWTError], Refusal] = {
    jwt.InvalidSignatureError: Refusal.BAD_SIGNATURE,
    jwt.ExpiredSignatureError: Refusal.EXPIRED,
    jwt.ImmatureSignatureError: Refusal.NOT_YET_VALID,
    jwt.InvalidIssuerError: Refusal.WRONG_ISSUER,
    jwt.InvalidAudienceError: Refusal.WRONG_AUDIENCE,
    jwt.MissingRequiredClaimError: Refusal.MISSING_CLAIM,
    jwt.DecodeError: Refusal.WRONG_CLAIM,  # a time that is none
    jwt.InvalidIssuedAtError: Refusal.WRONG_CLAIM,
    InvalidSubjectError: Refusal.WRONG_CLAIM,
    InvalidJTIError: Refusal.WRONG_CLAIM,
}


class TokenRefused(MediaInferenceError):
    """The caller is not known. The message is for the log: it names the rule, never the token."""

    def __init__(self, reason: Refusal, message: str) -> None:
        super().__init__(message)
        self.reason = reason


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
    known_as: KeySet = _NO_KEYS,
) -> str:
    """A token that is valid for ``ttl_seconds`` from now; its `kid` is the name of the key in the set ``known_as``.

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
    kid = known_as.name_of(key.public_key())
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers=None if kid is None else {"kid": kid})


class TokenVerifier:
    """Knows callers by tokens signed with one of the keys in ``public_key_path``, which is re-read when it changes.

    ``issuer`` and ``audience`` are checked when given. A token that is good for more than ``longest_life`` seconds from
    now is refused: it could not be called back. Raises `CannotStart` when the keys can't be used; see `KeyFile`.
    """

    def __init__(
        self,
        public_key_path: Path,
        issuer: str | None = None,
        audience: str | None = None,
        longest_life: float = LONGEST_LIFE,
    ) -> None:
        self._keys = KeyFile(public_key_path)
        self._issuer = issuer
        self._audience = audience
        self._longest_life = longest_life
        self._jwt = _StrictJWT()
        self._verified = VerifiedTokens()

    def identify(self, token: str | None) -> Caller:
        """The caller who sent the token. Raises `TokenRefused`."""
        if not token:
            raise TokenRefused(Refusal.MISSING, "no bearer token")
        if len(token) > LONGEST_TOKEN:
            raise TokenRefused(Refusal.TOO_LONG, "longer than 8 KiB")
        keys = self._keys.keys()
        caller = self._verified.caller(token, keys, time.time())
        if caller is None:
            caller = self._check(token, keys)
            self._verified.add(token, keys, caller, time.time())
        return caller

    def _check(self, token: str, keys: KeySet) -> Caller:
        key = keys.pick(_key_name(_header(token)))
        if key is None:
            raise TokenRefused(Refusal.UNKNOWN_KEY, "its kid is of no key, or it has none and there are several keys")
        return _caller(self._claims(token, key), time.time() + self._longest_life)

    def _claims(self, token: str, key: PublicKey) -> dict[str, Any]:
        try:
            return self._jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                leeway=CLOCK_SKEW,
                options={"require": ["sub", "exp"], "verify_aud": self._audience is not None},
            )
        except jwt.PyJWTError as error:
            raise TokenRefused(_REFUSALS.get(type(error), Refusal.MALFORMED), type(error).__name__) from error


class _StrictJWT(jwt.PyJWT):
    """PyJWT, with one reading of the claims."""

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        return _object(decoded["payload"])


def _header(token: str) -> dict[str, Any]:
    """The header of a token of three parts, none of which can be written in another way."""
    try:
        header, _, _ = (decode_base64url(part) for part in token.split("."))
    except ValueError:
        raise TokenRefused(Refusal.MALFORMED, "not three parts in base64url") from None
    found = _object(header)
    if not _REFUSED_HEADERS.isdisjoint(found):
        raise TokenRefused(Refusal.FORBIDDEN_HEADER, "a header that tokens must not have")
    if found.get("alg") != ALGORITHM:
        raise TokenRefused(Refusal.WRONG_ALGORITHM, "alg is not ES256")
    return found


def _key_name(header: Mapping[str, Any]) -> str | None:
    kid = header.get("kid")
    if "kid" in header and not isinstance(kid, str):
        raise TokenRefused(Refusal.UNKNOWN_KEY, "kid is not a string")
    return kid


def _object(content: bytes) -> dict[str, Any]:
    try:
        return read_object(content)
    except ValueError:  # whose message may have a piece of the token in it
        raise TokenRefused(Refusal.MALFORMED, "a part that is not one clear JSON object") from None


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it has a password
        raise CannotStart("the key to sign with is not a private key in PEM form without password") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CannotStart("the key to sign with is not a P-256 key, which ES256 needs")
    return key


def _caller(claims: Mapping[str, Any], latest: float) -> Caller:
    """The caller that verified claims name; ``latest`` is the furthest end that a token may have."""
    for name in _TIMES & claims.keys():
        if isinstance(claims[name], bool) or not isinstance(claims[name], int | float):  # PyJWT takes "1700000000" too
            raise TokenRefused(Refusal.WRONG_CLAIM, f"{name} is not a number")
    if claims["exp"] > latest:
        raise TokenRefused(Refusal.LASTS_TOO_LONG, "exp is further away than TOKEN_MAX_LIFE")
    if not claims["sub"] or not claims["sub"].isprintable():
        raise TokenRefused(Refusal.WRONG_CLAIM, "sub is empty, or has characters that can't be shown")
    permissions = claims.get("permissions", [])
    if not isinstance(permissions, list) or not all(isinstance(permission, str) for permission in permissions):
        raise TokenRefused(Refusal.WRONG_CLAIM, "permissions is not a list of strings")
    is_admin = claims.get("is_admin", False)
    if not isinstance(is_admin, bool):
        raise TokenRefused(Refusal.WRONG_CLAIM, "is_admin is not a boolean")
    return Caller(claims["sub"], frozenset(permissions), is_admin, int(claims["exp"]) + CLOCK_SKEW)
