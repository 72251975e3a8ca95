"""Several keys by `kid`, and key files that change while tokens are checked with them."""

import json
import os
from pathlib import Path
from typing import IO, Any

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from media_inference.api.tokens import Refusal, TokenRefused, TokenVerifier, create_key_pair, sign
from media_inference.errors import CannotStart
from media_inference.processes.keys import ensure_key_pair, sign_here
from media_inference.settings import load_settings
from tests.stands.p256 import P, point_at_or_above
from tests.stands.token_parts import b64

FIRST, SECOND, THIRD = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
Jwk = dict[str, Any]


def _jwk(key: ec.EllipticCurvePrivateKey, **more: Any) -> Jwk:
    return {**jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True), **more}


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _token(key: ec.EllipticCurvePrivateKey, **headers: Any) -> str:
    token = sign(_pem(key), subject="me", ttl_seconds=60)
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(claims, key, "ES256", headers)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the keys are."""
    return tmp_path / "keys.json"


def _write(path: Path, *keys: Jwk, **more: Any) -> None:
    path.write_text(json.dumps({"keys": keys, **more}))


def _taken(verifier: TokenVerifier, token: str) -> bool:
    try:
        return verifier.identify(token).subject == "me"
    except TokenRefused as refusal:
        if refusal.reason not in {Refusal.UNKNOWN_KEY, Refusal.BAD_SIGNATURE}:
            raise
        return False


def test_of_several_keys_the_kid_picks_one_and_that_one_alone_counts(path: Path) -> None:
    _write(path, _jwk(FIRST, kid="first"), _jwk(SECOND, kid="second", use="sig", alg="ES256", key_ops=["verify"]))
    verifier = TokenVerifier(path)
    assert _taken(verifier, _token(FIRST, kid="first"))
    assert _taken(verifier, _token(SECOND, kid="second"))
    for key, headers in (
        (FIRST, {"kid": "second"}),
        (SECOND, {"kid": "first"}),
        (THIRD, {"kid": "first"}),
        (FIRST, {"kid": "third"}),
        (FIRST, {"kid": "First"}),
        (FIRST, {"kid": ""}),
        (FIRST, {}),
        (SECOND, {}),
    ):
        assert not _taken(verifier, _token(key, **headers)), headers


def test_the_only_key_needs_no_kid_but_a_wrong_one_is_refused(path: Path) -> None:
    _write(path, _jwk(FIRST, kid="first"))
    verifier = TokenVerifier(path)
    assert _taken(verifier, _token(FIRST))
    assert _taken(verifier, _token(FIRST, kid="first"))
    assert not _taken(verifier, _token(FIRST, kid="other"))
    assert not _taken(verifier, _token(SECOND))


def test_a_key_without_a_name_is_for_tokens_of_any_name(path: Path) -> None:
    for content in (json.dumps({"keys": [_jwk(FIRST)]}).encode(), _public_pem(FIRST)):
        path.write_bytes(content)
        verifier = TokenVerifier(path)
        assert _taken(verifier, _token(FIRST))
        assert _taken(verifier, _token(FIRST, kid="anything"))
        assert not _taken(verifier, _token(SECOND, kid="anything"))


def _public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_keys_for_something_else_are_left_aside(path: Path) -> None:
    rsa_key = jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key(), as_dict=True)
    eddsa = jwt.algorithms.OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate().public_key(), as_dict=True)
    p384 = _jwk(ec.generate_private_key(ec.SECP384R1()), kid="first")
    for_encryption = [_jwk(SECOND, kid="e", use="enc"), _jwk(SECOND, kid="f", alg="ECDH-ES"), _jwk(SECOND, key_ops=[])]
    _write(path, rsa_key, eddsa, p384, *for_encryption, {"kty": "new"}, _jwk(FIRST, kid="first"), more="ignored")
    verifier = TokenVerifier(path)
    assert _taken(verifier, _token(FIRST, kid="first"))
    assert _taken(verifier, _token(FIRST))
    for kid in ("e", "f"):
        assert not _taken(verifier, _token(SECOND, kid=kid))


SMALL = point_at_or_above(1)
UNUSABLE: dict[str, tuple[object, str]] = {
    "not JSON": ("{", "is not a JWKS"),
    "a key alone": (_jwk(FIRST), "is not a JWKS"),
    "no list": ({"keys": _jwk(FIRST)}, "is not a JWKS"),
    "a list of texts": ({"keys": ["x"]}, "is not a JWKS"),
    "doubled names": ('{"keys": [], "keys": []}', "is not a JWKS"),
    "no keys": ({"keys": []}, "no P-256 key"),
    "no key for ES256": ({"keys": [{"kty": "RSA"}, _jwk(FIRST, use="enc")]}, "no P-256 key"),
    "a private key": ({"keys": [_jwk(FIRST, d="AAAA")]}, "holds a private key"),
    "a private key of another kind": ({"keys": [_jwk(FIRST), {"kty": "RSA", "p": "AA"}]}, "holds a private key"),
    "a secret": ({"keys": [_jwk(FIRST), {"kty": "oct", "k": "AA"}]}, "holds a private key"),
    "two of one name": ({"keys": [_jwk(FIRST, kid="a"), _jwk(SECOND, kid="a")]}, "a `kid` of its own"),
    "two without a name": ({"keys": [_jwk(FIRST), _jwk(SECOND)]}, "a `kid` of its own"),
    "one of two without a name": ({"keys": [_jwk(FIRST, kid="a"), _jwk(SECOND)]}, "a `kid` of its own"),
    "an empty name": ({"keys": [_jwk(FIRST, kid="")]}, "not a name"),
    "a name that is a number": ({"keys": [_jwk(FIRST, kid=1)]}, "not a name"),
    "a name that is null": ({"keys": [_jwk(FIRST, kid=None)]}, "not a name"),
    "no point of the curve": ({"keys": [_jwk(FIRST, y=b64(bytes(32)))]}, "must be a point"),
    "the point at infinity": ({"keys": [_jwk(FIRST, x=b64(bytes(32)), y=b64(bytes(32)))]}, "must be a point"),
    "short coordinates": ({"keys": [_jwk(FIRST, x=b64(bytes([SMALL[0]])), y=b64(SMALL[1].to_bytes(32)))]}, "32 bytes"),
    "x above p": ({"keys": [_jwk(FIRST, x=b64((SMALL[0] + P).to_bytes(32)), y=b64(SMALL[1].to_bytes(32)))]}, "a point"),
    "padding": ({"keys": [_jwk(FIRST) | {"x": _jwk(FIRST)["x"] + "="}]}, "must be a point"),
    "no y": ({"keys": [{name: value for name, value in _jwk(FIRST).items() if name != "y"}]}, "must be a point"),
    "y a number": ({"keys": [_jwk(FIRST, y=7)]}, "must be a point"),
    "two keys in PEM form": ((_public_pem(FIRST) + _public_pem(SECOND)).decode(), "several keys in PEM form"),
    "larger than a key file": (" " * 70_000, "larger than 64 KiB"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_key_set_that_is_not_clear_stops_the_start_and_changes_nothing_later(path: Path, name: str) -> None:
    content, words = UNUSABLE[name]
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text)
    with pytest.raises(CannotStart, match=words) as caught:
        TokenVerifier(path)
    assert str(caught.value).startswith(f"PUBLIC_KEY_PATH: {path} ")
    assert len(str(caught.value).splitlines()) == 1
    _write(path, _jwk(FIRST, kid="first"))
    verifier = TokenVerifier(path)
    path.write_text(text)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            assert _taken(verifier, _token(FIRST, kid="first"))
    assert [(line["action"], line["log_level"]) for line in lines] == [("public_key_unusable", "error")]
    assert words in lines[0]["reason"]


def test_keys_change_one_after_the_other_without_a_token_refused_in_between(path: Path) -> None:
    _write(path, _jwk(FIRST, kid="first"))
    verifier = TokenVerifier(path)
    old, new = _token(FIRST, kid="first"), _token(SECOND, kid="second")
    assert (_taken(verifier, old), _taken(verifier, new)) == (True, False)
    _write(path, _jwk(FIRST, kid="first"), _jwk(SECOND, kid="second"))
    assert (_taken(verifier, old), _taken(verifier, new)) == (True, True)
    _write(path, _jwk(SECOND, kid="second"))
    assert (_taken(verifier, old), _taken(verifier, new)) == (False, True)


def test_a_key_that_comes_in_the_same_tick_of_the_clock_with_the_same_size_is_seen(path: Path) -> None:
    """Two keys in PEM form have one size; an old time is what `cp -p` and `rsync -t` leave."""
    for _ in range(50):
        path.write_bytes(_public_pem(FIRST))
        os.utime(path, (1, 1))
        verifier = TokenVerifier(path)
        assert _taken(verifier, _token(FIRST))
        path.write_bytes(_public_pem(SECOND))
        os.utime(path, (1, 1))
        assert not _taken(verifier, _token(FIRST))


def test_a_file_that_stays_as_it_is_is_not_read_for_each_token(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(path, _jwk(FIRST))
    verifier = TokenVerifier(path)
    read: list[Path] = []
    open_path = Path.open

    def open_and_count(self: Path, mode: str) -> IO[Any]:
        read.append(self)
        return open_path(self, mode)

    monkeypatch.setattr(Path, "open", open_and_count)
    monkeypatch.setattr("media_inference.api.key_file._SETTLED_AFTER_NS", -1)
    for _ in range(5):
        assert _taken(verifier, _token(FIRST))
    assert len(read) == 1  # the last look at what was fresh at the start


def test_a_token_made_here_is_one_that_the_service_takes(tmp_path: Path) -> None:
    settings = load_settings(
        _env_file=None, database_dir=tmp_path, token_issuer="photos", token_audience="inference", token_max_life=600
    )
    assert ensure_key_pair(settings)
    private = serialization.load_pem_private_key(settings.private_key_path.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    for keys in (None, [_jwk(private, kid="mine"), _jwk(SECOND, kid="other")]):
        if keys:
            _write(settings.key_path, *keys)
        token = sign_here(settings, subject="me", permissions=["a"], admin=True, ttl_seconds=600)
        verifier = TokenVerifier(settings.key_path, "photos", "inference", longest_life=600)
        assert verifier.identify(token).permissions == {"a"}
    with pytest.raises(CannotStart, match="TOKEN_MAX_LIFE is 600"):
        sign_here(settings, subject="me", permissions=[], admin=False, ttl_seconds=601)


def test_a_token_that_lasts_longer_than_allowed_is_refused(path: Path) -> None:
    private, public = create_key_pair()
    path.write_bytes(public)
    day = 86_400
    assert TokenVerifier(path).identify(sign(private, subject="me", ttl_seconds=365 * day)).subject == "me"
    for verifier, seconds in ((TokenVerifier(path), 367 * day), (TokenVerifier(path, longest_life=60), 120)):
        with pytest.raises(TokenRefused) as caught:
            verifier.identify(sign(private, subject="me", ttl_seconds=seconds))
        assert caught.value.reason is Refusal.LASTS_TOO_LONG
