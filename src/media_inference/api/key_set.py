"""A key file's content -> the public keys that tokens are checked with.

The file is one public key in PEM form, or a JWKS (RFC 7517): a JSON object whose list `keys` may hold several, each
with a name of its own in `kid`. Keys in it that are not for ES256 signatures are left aside, as the RFC says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from media_inference.api.jose import decode_base64url, read_object
from media_inference.errors import CannotStart

PublicKey = ec.EllipticCurvePublicKey

_COORDINATE_BYTES = 32
# Members that only a key has which can sign (RFC 7518, 6.2.2, 6.3.2 and 6.4.1).
_SECRETS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys by their `kid`; None is the name of a key that has none, which is then the only one."""

    keys: Mapping[str | None, PublicKey]

    def pick(self, kid: str | None) -> PublicKey | None:
        """The key for a token with this `kid`, None for one without; None when it can't be told.

        A key without a name is for every token. A named one is for tokens that name it, and, as long as it is the
        only one, for those that name none.
        """
        if None in self.keys:
            return self.keys[None]
        if kid is None:
            return next(iter(self.keys.values())) if len(self.keys) == 1 else None
        return self.keys.get(kid)

    def name_of(self, key: PublicKey) -> str | None:
        """The `kid` of a key; None when it has none, or is not among them."""
        return next((kid for kid, known in self.keys.items() if known == key), None)


def read_key_set(content: bytes, path: Path) -> KeySet:
    """The keys in a file's content; ``path`` is for the message. Raises `CannotStart` when it can't be used."""
    try:
        if content.lstrip().startswith(b"{"):
            return KeySet(_keys_of_jwks(content))
        return KeySet({None: _key_of_pem(content)})
    except ValueError as error:
        raise CannotStart(f"PUBLIC_KEY_PATH: {path} {error}") from error


def _key_of_pem(content: bytes) -> PublicKey:
    if b"PRIVATE KEY" in content:
        raise ValueError("holds a private key: put the public key alone there")
    if content.count(b"-----BEGIN") > 1:
        raise ValueError("holds several keys in PEM form: write them as a JWKS, each with a `kid`")
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is not a public key in PEM form, nor a JWKS") from None
    if isinstance(key, PublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError("is not a P-256 key, which ES256 needs")


def _keys_of_jwks(content: bytes) -> dict[str | None, PublicKey]:
    try:
        listed = read_object(content).get("keys")
    except ValueError as error:
        raise ValueError(f"is not a JWKS: it is {error}") from None
    if not isinstance(listed, list) or not all(isinstance(key, dict) for key in listed):
        raise ValueError('is not a JWKS: expected {"keys": [{"kty": "EC", …}, …]}')
    if any(not _SECRETS.isdisjoint(key) for key in listed):
        raise ValueError("holds a private key: put the public keys alone there")
    usable = [key for key in listed if _is_for_es256(key)]
    named = {_name_of(key): _key_of_jwk(key) for key in usable}
    if not usable:
        raise ValueError("has no P-256 key, which ES256 needs")
    if len(named) < len(usable) or (None in named and len(named) > 1):
        raise ValueError("is not clear: of several keys, each must have a `kid` of its own")
    return named


def _is_for_es256(key: Mapping[str, Any]) -> bool:
    operations = key.get("key_ops", ["verify"])
    return (
        (key.get("kty"), key.get("crv")) == ("EC", "P-256")
        and key.get("use", "sig") == "sig"
        and key.get("alg", "ES256") == "ES256"
        and isinstance(operations, list)
        and "verify" in operations
    )


def _name_of(key: Mapping[str, Any]) -> str | None:
    kid = key.get("kid")
    if "kid" in key and (not isinstance(kid, str) or not kid):
        raise ValueError("has a key whose `kid` is not a name")
    return kid


def _key_of_jwk(key: Mapping[str, Any]) -> PublicKey:
    try:
        x, y = (_coordinate(key[name]) for name in ("x", "y"))
        numbers = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1())
        return _written_in_one_way(numbers.public_key(), numbers)  # the library refuses what is no point of the curve
    except (KeyError, TypeError, ValueError):
        raise ValueError("has a P-256 key that is none: `x` and `y` must be a point, 32 bytes each") from None


def _coordinate(text: str) -> int:
    content = decode_base64url(text)
    if len(content) != _COORDINATE_BYTES:
        raise ValueError("a coordinate of another length")
    return int.from_bytes(content)


def _written_in_one_way(key: PublicKey, numbers: ec.EllipticCurvePublicNumbers) -> PublicKey:
    """The key, unless its numbers are those of the point plus the field's prime."""
    if key.public_numbers() != numbers:
        raise ValueError("a coordinate above the prime of the field")
    return key
