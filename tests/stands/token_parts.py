"""What tokens are put together from, by hand: text, header, claims, numbers."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from media_inference.api.tokens import create_key_pair

ISSUER, AUDIENCE = "photos", "inference"
PRIVATE, PUBLIC = create_key_pair()
Named = Iterator[tuple[str, str]]
"""What is wrong with a token -> the token."""


def _load_private(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


KEY = _load_private(PRIVATE)


def b64(content: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def part(value: object) -> str:
    """A part of a token: text as it is, anything else as JSON."""
    return b64(value.encode() if isinstance(value, str) else json.dumps(value).encode())


def claims(**changed: Any) -> dict[str, Any]:
    """What an administrator's token says; None leaves a claim out."""
    now = int(time.time())
    good = {"sub": "mallory", "iat": now, "exp": now + 600, "iss": ISSUER, "aud": AUDIENCE}
    good |= {"permissions": ["ai_inference_support"], "is_admin": True}
    return {name: value for name, value in (good | changed).items() if value is not None}


def signed_text(header: object, payload: object) -> str:
    """The two parts that a signature is for."""
    return f"{part(header)}.{part(payload)}"


def raw(r: int, s: int) -> bytes:
    """A signature as ES256 writes it."""
    return r.to_bytes(32) + s.to_bytes(32)


def numbers(text: str, key: ec.EllipticCurvePrivateKey = KEY) -> tuple[int, int]:
    """r and s of a true signature."""
    return decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))


def true_token(header: object = None, payload: object = None) -> str:
    """Whatever header and payload, with a true signature."""
    text = signed_text({"alg": "ES256", "typ": "JWT"} if header is None else header, payload or claims())
    return f"{text}.{b64(raw(*numbers(text)))}"
