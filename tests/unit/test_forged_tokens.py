"""No forged token is taken, however it is made; and what is no forgery is."""

import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from statistics import median

import pytest
from cryptography.hazmat.primitives import serialization

from media_inference.api.caller import Caller
from media_inference.api.tokens import Refusal, TokenRefused, TokenVerifier
from tests.stands.forged_tokens import forged, genuine, public_forms
from tests.stands.p256 import N, P, key_for, point_at_or_above
from tests.stands.token_parts import AUDIENCE, ISSUER, PUBLIC, b64, claims, raw, signed_text

LONGEST_VERDICT = 0.005  # seconds, the median of five

R = Refusal
# A forgery that is stopped by another rule than the one it is made for shows nothing.
STOPPED_BY: dict[str, set[object]] = {
    "without signature": {R.WRONG_ALGORITHM, R.BAD_SIGNATURE},
    "keyed with the public key": {R.WRONG_ALGORITHM, R.BAD_SIGNATURE},
    "of other algorithms": {R.WRONG_ALGORITHM, R.BAD_SIGNATURE},
    "with a key of their own": {R.FORBIDDEN_HEADER, R.UNKNOWN_KEY, R.WRONG_ALGORITHM, R.BAD_SIGNATURE},
    "with demands": {R.FORBIDDEN_HEADER, R.MALFORMED},
    "with wrong signatures": {R.BAD_SIGNATURE},
    "with edges of numbers": {R.BAD_SIGNATURE},
    "in other encodings": {R.MALFORMED, R.TOO_LONG},
    "in other shapes": {R.MALFORMED, R.WRONG_ALGORITHM, R.BAD_SIGNATURE},
    "with doubled names": {R.MALFORMED},
    "with wrong times": {
        *(R.MALFORMED, R.MISSING_CLAIM, R.WRONG_CLAIM, R.EXPIRED, R.NOT_YET_VALID, R.LASTS_TOO_LONG),
    },
    "with wrong claims": {R.MISSING_CLAIM, R.WRONG_CLAIM, R.WRONG_ISSUER, R.WRONG_AUDIENCE},
}


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> TokenVerifier:
    """Knows the one key that signs here."""
    path = tmp_path_factory.mktemp("keys") / "public_key.pem"
    path.write_bytes(PUBLIC)
    return TokenVerifier(path, ISSUER, AUDIENCE)


@pytest.fixture(scope="module")
def every_forged() -> dict[str, str]:
    """What is wrong -> the token; no two have one name."""
    made = list(forged())
    assert len(dict(made)) == len(made)
    return dict(made)


def _verdict(verifier: TokenVerifier, token: str) -> Refusal | Caller:
    try:
        return verifier.identify(token)
    except TokenRefused as refusal:
        return refusal.reason


def test_no_forged_token_is_taken(verifier: TokenVerifier, every_forged: dict[str, str]) -> None:
    assert len(every_forged) >= 150
    verdicts = {name: _verdict(verifier, token) for name, token in every_forged.items()}
    assert {name: verdict for name, verdict in verdicts.items() if isinstance(verdict, Caller)} == {}
    stopped_by: dict[str, set[object]] = {}
    for name, verdict in verdicts.items():
        stopped_by.setdefault(name.partition(":")[0], set()).add(verdict)
    assert stopped_by == STOPPED_BY
    # Each rule is the one that stops some of them: a rule without a forgery would go untested.
    assert set(verdicts.values()) == set(Refusal) - {Refusal.MISSING}


def test_no_forged_token_costs_much(verifier: TokenVerifier, every_forged: dict[str, str]) -> None:
    slow = {
        name: seconds for name, token in every_forged.items() if (seconds := _median(verifier, token)) > LONGEST_VERDICT
    }
    assert slow == {}


def _median(verifier: TokenVerifier, token: str) -> float:
    """How long a verdict takes; of five, so that a machine that is busy with something else does not count."""

    def once() -> float:
        started = time.perf_counter()
        _verdict(verifier, token)
        return time.perf_counter() - started

    return median(once() for _ in range(5))


def test_every_genuine_token_is_taken(verifier: TokenVerifier) -> None:
    for name, token in genuine():  # one by one: some are about to expire
        caller = _verdict(verifier, token)
        assert isinstance(caller, Caller), (name, caller)
        assert caller.is_admin
        assert caller.may("ai_inference_support")


def test_a_forger_who_has_every_form_of_the_public_key_has_none_that_repeats() -> None:
    forms = public_forms()
    assert len(set(forms.values())) == len(forms)


Accepts = Callable[[int, int], bool]


@pytest.fixture
def made_for(tmp_path: Path) -> Callable[[int, int], Accepts]:
    """(the least x of R, s) -> whether a verifier takes other numbers, with the key that R and s belong to."""

    def make(x: int, s: int) -> Accepts:
        text = signed_text({"alg": "ES256"}, claims())
        key = key_for(point_at_or_above(x), int.from_bytes(sha256(text.encode()).digest()), s)
        path = tmp_path / "key.pem"
        path.write_bytes(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
        verifier = TokenVerifier(path, ISSUER, AUDIENCE)
        return lambda new_r, new_s: isinstance(_verdict(verifier, f"{text}.{b64(raw(new_r, new_s))}"), Caller)

    return make


@pytest.mark.parametrize("s", [1, 2, N // 2, N - 2, N - 1], ids=["1", "2", "n/2", "n-2", "n-1"])
@pytest.mark.parametrize(
    "least_x", [1, N, N + (1 << 64), N - 9999], ids=["least r", "x = n + little", "x > n", "most r"]
)
def test_true_numbers_at_their_edges_are_taken_and_those_around_them_are_not(
    made_for: Callable[[int, int], Accepts], least_x: int, s: int
) -> None:
    """A small r could also be written r + n, and a point whose x is at least n has the small r of x - n."""
    x, _ = point_at_or_above(least_x)
    assert 0 < x < P
    accepts, r = made_for(least_x, s), x % N
    assert accepts(r, s)
    assert accepts(r, N - s)
    around = {(new_r, new_s) for new_r in (r - 1, r + 1, r + N, N - r) for new_s in (s, s - 1, s + 1, s + N)}
    around |= {(r, s - 1), (r, s + 1), (r, s + N), (r, 0), (0, s)}
    for new_r, new_s in around - {(r, s), (r, N - s)}:
        if min(new_r, new_s) >= 0 and max(new_r, new_s) < 1 << 256:
            assert not accepts(new_r, new_s), (new_r, new_s)
