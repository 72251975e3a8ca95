"""Tokens: which are taken, which are not."""

import base64
import hmac
import json
import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from media_inference.api.caller import Caller
from media_inference.api.tokens import OpenAccess, TokenRefused, TokenVerifier, create_key_pair, sign
from media_inference.errors import CannotStart

PRIVATE, PUBLIC = create_key_pair()
LATER = int(time.time()) + 86_400

Verify = Callable[[str], Caller]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with the public key."""
    path = tmp_path / "public_key.pem"
    path.write_bytes(PUBLIC)
    return path


@pytest.fixture
def verifier(key_file: Path) -> TokenVerifier:
    """Knows the holder of PRIVATE."""
    return TokenVerifier(key_file)


def _token(claims: dict[str, Any] | None = None, headers: dict[str, Any] | None = None, **changed: Any) -> str:
    return jwt.encode({"sub": "me", "exp": LATER} | (claims or {}) | changed, PRIVATE, "ES256", headers)


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _pem(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_a_signed_token_says_who_calls(verifier: TokenVerifier) -> None:
    token = sign(PRIVATE, subject="me", permissions=["b", "a"], admin=True, ttl_seconds=60)
    assert verifier.identify(token) == Caller("me", frozenset({"a", "b"}), is_admin=True)


def test_the_token_of_the_readme_is_taken(verifier: TokenVerifier) -> None:
    token = _token({"sub": "user_id", "permissions": ["ai_inference_support"], "is_admin": False})
    caller = verifier.identify(token)
    assert caller.may("ai_inference_support")
    assert not caller.may("anything else")
    assert not caller.is_admin


def test_permissions_and_is_admin_may_be_missing(verifier: TokenVerifier) -> None:
    assert verifier.identify(_token()) == Caller("me", frozenset(), is_admin=False)


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"exp": None}, id="exp null"),
        pytest.param({"exp": str(LATER)}, id="exp a string"),
        pytest.param({"exp": True}, id="exp a boolean"),
        pytest.param({"exp": [LATER]}, id="exp a list"),
        pytest.param({"exp": float("inf")}, id="exp infinite"),
        pytest.param({"exp": float("nan")}, id="exp not a number"),
        pytest.param({"exp": 1_700_000_000}, id="exp past"),
        pytest.param({"nbf": LATER - 1}, id="nbf future"),
        pytest.param({"sub": None}, id="sub null"),
        pytest.param({"sub": 1}, id="sub a number"),
        pytest.param({"sub": ""}, id="sub empty"),
        pytest.param({"permissions": "ai_inference_support"}, id="permissions a string"),
        pytest.param({"permissions": {"ai_inference_support": True}}, id="permissions an object"),
        pytest.param({"permissions": ["a", 1]}, id="permissions with a number"),
        pytest.param({"permissions": None}, id="permissions null"),
        pytest.param({"is_admin": "true"}, id="is_admin a string"),
        pytest.param({"is_admin": 1}, id="is_admin a number"),
        pytest.param({"is_admin": None}, id="is_admin null"),
    ],
)
def test_wrong_claims_are_refused(verifier: TokenVerifier, claims: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused):
        verifier.identify(_token(claims))


@pytest.mark.parametrize("missing", ["sub", "exp"])
def test_required_claims_may_not_be_missing(verifier: TokenVerifier, missing: str) -> None:
    claims = {"sub": "me", "exp": LATER}
    del claims[missing]
    with pytest.raises(TokenRefused):
        verifier.identify(jwt.encode(claims, PRIVATE, "ES256"))


@pytest.mark.parametrize("header", ["jwk", "jku", "x5u", "x5c", "crit"])
def test_headers_that_bring_a_key_or_a_demand_are_refused(verifier: TokenVerifier, header: str) -> None:
    values = {"crit": ["exp"], "x5c": ["MIIB"], "jwk": {"kty": "EC"}}
    with pytest.raises(TokenRefused):
        verifier.identify(_token(headers={header: values.get(header, "https://example.com/key")}))


def test_a_token_without_a_signature_is_refused(verifier: TokenVerifier) -> None:
    claims = {"sub": "me", "exp": LATER, "is_admin": True}
    signature = _token().rpartition(".")[2]
    for algorithm in ("none", "None", "NONE", ""):
        unsigned = f"{_part({'alg': algorithm, 'typ': 'JWT'})}.{_part(claims)}."
        for token in (unsigned, unsigned + signature):
            with pytest.raises(TokenRefused):
                verifier.identify(token)


def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(verifier: TokenVerifier) -> None:
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part({'sub': 'me', 'exp': LATER})}"
    digest = hmac.new(PUBLIC, signed.encode(), sha256).digest()
    with pytest.raises(TokenRefused):
        verifier.identify(f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}")


def test_other_curves_and_other_keys_are_refused(verifier: TokenVerifier) -> None:
    claims = {"sub": "me", "exp": LATER}
    stranger, _ = create_key_pair()
    for token in (
        jwt.encode(claims, ec.generate_private_key(ec.SECP384R1()), "ES384"),
        jwt.encode(claims, stranger, "ES256"),
        jwt.encode(claims, rsa.generate_private_key(65537, 2048), "RS256"),
    ):
        with pytest.raises(TokenRefused):
            verifier.identify(token)


def test_a_changed_token_is_refused(verifier: TokenVerifier) -> None:
    header, _, signature = _token().split(".")
    forged = _part({"sub": "me", "exp": LATER, "is_admin": True})
    with pytest.raises(TokenRefused):
        verifier.identify(f"{header}.{forged}.{signature}")


@pytest.mark.parametrize(
    "token",
    [
        *(None, "", ".", "..", "...", "a.b", "nonsense", "é.é.é", "\ud800"),
        f"{'W1tb' * 1500}.e30.e30",  # a header of lists in lists
        f"{_part([])}.e30.e30",
    ],
)
def test_garbage_is_refused(verifier: TokenVerifier, token: str | None) -> None:
    with pytest.raises(TokenRefused):
        verifier.identify(token)


def test_a_token_may_have_8_kib_and_not_more(verifier: TokenVerifier) -> None:
    assert verifier.identify(_token(note="x" * 5900)).subject == "me"
    with pytest.raises(TokenRefused, match="8 KiB"):
        verifier.identify(_token(note="x" * 7000))


def test_a_token_of_another_issuer_or_for_another_audience_is_refused_when_configured(key_file: Path) -> None:
    verifier = TokenVerifier(key_file, issuer="photos", audience="inference")
    good = sign(PRIVATE, subject="me", ttl_seconds=60, issuer="photos", audience="inference")
    assert verifier.identify(good).subject == "me"
    for claims in (
        {"iss": "photos"},
        {"aud": "inference"},
        {"iss": "x", "aud": "inference"},
        {"iss": "photos", "aud": "x"},
    ):
        with pytest.raises(TokenRefused):
            verifier.identify(_token(claims))


def test_issuer_and_audience_do_not_matter_when_not_configured(verifier: TokenVerifier) -> None:
    assert verifier.identify(_token(iss="anybody", aud=["anything"])).subject == "me"


def test_a_token_signed_by_a_clock_slightly_ahead_is_taken(verifier: TokenVerifier) -> None:
    now = int(time.time())
    assert verifier.identify(_token(iat=now + 2, nbf=now + 2)).subject == "me"


def test_a_new_key_is_used_at_once(verifier: TokenVerifier, key_file: Path) -> None:
    private, public = create_key_pair()
    old, new = _token(), sign(private, subject="me", ttl_seconds=60)
    with pytest.raises(TokenRefused):
        verifier.identify(new)
    replacement = key_file.with_suffix(".new")
    replacement.write_bytes(public)
    replacement.replace(key_file)
    assert verifier.identify(new).subject == "me"
    with pytest.raises(TokenRefused):
        verifier.identify(old)


@pytest.mark.parametrize("content", [None, b"", b"nonsense", PRIVATE], ids=["gone", "empty", "nonsense", "private"])
def test_a_new_key_that_is_unusable_is_logged_once_and_the_old_one_stays(
    verifier: TokenVerifier, key_file: Path, content: bytes | None
) -> None:
    key_file.unlink()
    if content is not None:
        key_file.write_bytes(content)
        os.utime(key_file, (1, 1))
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            assert verifier.identify(_token()).subject == "me"
    assert [line["action"] for line in lines] == ["public_key_unusable"]
    key_file.write_bytes(PUBLIC)
    with structlog.testing.capture_logs() as lines:
        verifier.identify(_token())
    assert [line["action"] for line in lines] == ["public_key_changed"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "not a public key in PEM form"),
        (b"nonsense", "not a public key in PEM form"),
        (PRIVATE, "holds a private key"),
        (PUBLIC + PRIVATE, "holds a private key"),
        (_pem(ec.generate_private_key(ec.SECP384R1()).public_key()), "not a P-256 key"),
        (_pem(rsa.generate_private_key(65537, 2048).public_key()), "not a P-256 key"),
    ],
    ids=["gone", "empty", "nonsense", "private", "both", "P-384", "RSA"],
)
def test_without_a_usable_key_there_is_no_verifier(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CannotStart, match=words) as caught:
        TokenVerifier(path)
    assert str(caught.value).startswith("PUBLIC_KEY_PATH: ")
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="Is a directory"):
        TokenVerifier(tmp_path)


@pytest.mark.parametrize("pem", [b"", PUBLIC, b"nonsense"], ids=["empty", "public", "nonsense"])
def test_only_a_private_key_signs(pem: bytes) -> None:
    with pytest.raises(CannotStart, match="not a private key"):
        sign(pem, subject="me", ttl_seconds=60)


def test_open_access_tells_nobody_apart() -> None:
    OpenAccess().identify(None)
    OpenAccess().identify("nonsense")
