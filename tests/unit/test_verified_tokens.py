"""A token whose signature was checked is not checked again, as long as all that made it good is as it was."""

import time
from pathlib import Path

import jwt
import pytest

from media_inference.api.caller import Caller
from media_inference.api.key_set import KeySet, read_key_set
from media_inference.api.tokens import CLOCK_SKEW, Refusal, TokenRefused, TokenVerifier, create_key_pair, sign
from media_inference.api.verified_tokens import VerifiedTokens

PRIVATE, PUBLIC = create_key_pair()
OTHER_PRIVATE, OTHER_PUBLIC = create_key_pair()
CALLER = Caller("me", expires_at=2000.0)


@pytest.fixture
def keys() -> KeySet:
    """Some keys."""
    return read_key_set(PUBLIC, Path("public_key.pem"))


def known(*tokens: str, keys: KeySet, most: int = 8) -> VerifiedTokens:
    verified = VerifiedTokens(most)
    for token in tokens:
        verified.add(token, keys, CALLER, 1000.0)
    return verified


@pytest.mark.parametrize(
    ("now", "caller"),
    [(1000.0, CALLER), (1999.9, CALLER), (2000.0, None), (5000.0, None), (999.9, None)],
)
def test_a_token_is_known_from_its_check_until_it_expires(keys: KeySet, now: float, caller: Caller | None) -> None:
    assert known("a", keys=keys).caller("a", keys, now) == caller


def test_another_token_is_not_known_however_alike(keys: KeySet) -> None:
    verified = known("abc", keys=keys)
    assert [verified.caller(token, keys, 1000.0) for token in ("ab", "abcd", "abC", "abc ", "", "\udce9")] == [None] * 6


def test_other_keys_make_every_token_unknown_for_good(keys: KeySet) -> None:
    verified = known("a", keys=keys)
    same_key = read_key_set(PUBLIC, Path("public_key.pem"))
    assert verified.caller("a", same_key, 1000.0) is None
    verified.add("b", same_key, CALLER, 1000.0)
    assert verified.caller("a", keys, 1000.0) is None
    assert verified.caller("a", same_key, 1000.0) is None


def test_the_least_recently_used_token_goes_first(keys: KeySet) -> None:
    verified = known("a", "b", keys=keys, most=2)
    verified.caller("a", keys, 1000.0)
    verified.add("c", keys, CALLER, 1000.0)
    assert [verified.caller(token, keys, 1000.0) is not None for token in "abc"] == [True, False, True]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with the public key."""
    path = tmp_path / "public_key.pem"
    path.write_bytes(PUBLIC)
    return path


def refusal(verifier: TokenVerifier, token: str) -> Refusal | None:
    try:
        verifier.identify(token)
    except TokenRefused as refused:
        return refused.reason
    return None


def test_a_known_token_is_refused_as_soon_as_its_key_is_replaced(key_file: Path) -> None:
    verifier, token = TokenVerifier(key_file), sign(PRIVATE, subject="me", ttl_seconds=60)
    assert [refusal(verifier, token) for _ in range(2)] == [None, None]
    key_file.write_bytes(OTHER_PUBLIC)
    assert refusal(verifier, token) is Refusal.BAD_SIGNATURE
    key_file.write_bytes(PUBLIC)
    assert refusal(verifier, token) is None


def test_it_is_known_until_the_moment_at_which_its_check_would_refuse_it(key_file: Path) -> None:
    expires = time.time() + 60.5
    caller = TokenVerifier(key_file).identify(jwt.encode({"sub": "me", "exp": expires}, PRIVATE, "ES256"))
    assert caller.expires_at == int(expires) + CLOCK_SKEW  # PyJWT looks at whole seconds


def test_a_refusal_is_not_remembered(key_file: Path) -> None:
    verifier, token = TokenVerifier(key_file), sign(OTHER_PRIVATE, subject="me", ttl_seconds=60)
    assert [refusal(verifier, token) for _ in range(2)] == [Refusal.BAD_SIGNATURE] * 2
    key_file.write_bytes(OTHER_PUBLIC)
    assert refusal(verifier, token) is None


def test_a_known_token_with_another_signature_or_claim_is_checked(key_file: Path) -> None:
    verifier = TokenVerifier(key_file)
    token = sign(PRIVATE, subject="me", ttl_seconds=60)
    header, claims, signature = token.split(".")
    stranger = sign(OTHER_PRIVATE, subject="me", admin=True, ttl_seconds=60).split(".")
    verifier.identify(token)
    assert refusal(verifier, ".".join((header, stranger[1], signature))) is Refusal.BAD_SIGNATURE
    assert refusal(verifier, ".".join((header, claims, stranger[2]))) is Refusal.BAD_SIGNATURE
    assert refusal(verifier, token + "=") is Refusal.MALFORMED


def test_the_signature_of_a_known_token_is_checked_once(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verifier, token = TokenVerifier(key_file), sign(PRIVATE, subject="me", ttl_seconds=60)
    checked, check = list[str](), verifier._check

    def noting(token: str, keys: KeySet) -> Caller:
        checked.append(token)
        return check(token, keys)

    monkeypatch.setattr(verifier, "_check", noting)
    callers = {verifier.identify(token) for _ in range(5)}
    assert (checked, callers) == ([token], {Caller("me")})
