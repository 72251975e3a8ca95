"""Tokens that nobody signed, and some that somebody did: what a service with one public key must make of them.

Each forged token says that it is an administrator's, so that one which is taken is seen.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.stands.forged_claims import with_doubled_names, with_wrong_claims, with_wrong_times
from tests.stands.forged_signatures import with_edges_of_numbers, with_wrong_signatures
from tests.stands.p256 import N
from tests.stands.token_parts import (
    AUDIENCE,
    KEY,
    PUBLIC,
    Named,
    b64,
    claims,
    numbers,
    part,
    raw,
    signed_text,
    true_token,
)


def forged() -> Named:
    """Every token that must be refused."""
    for group in (
        _without_signature,
        _keyed_with_the_public_key,
        _of_other_algorithms,
        _with_a_key_of_their_own,
        _with_demands,
        with_wrong_signatures,
        with_edges_of_numbers,
        _in_other_encodings,
        _in_other_shapes,
        with_doubled_names,
        with_wrong_times,
        with_wrong_claims,
    ):
        for name, token in group():
            yield f"{group.__name__.strip('_').replace('_', ' ')}: {name}", token


def genuine() -> Named:
    """Tokens that must be taken, some of which look like forged ones."""
    yield "as it is meant", true_token()
    yield "without a typ", true_token({"alg": "ES256"})
    yield "with a kid that the one key has not", true_token({"alg": "ES256", "kid": "../../etc/passwd"})
    yield "with a certificate's fingerprint, which is not used", true_token({"alg": "ES256", "x5t": b64(b"x" * 20)})
    yield "without a time of its signature", true_token(payload=claims(iat=None))
    yield "with times in fractions", true_token(payload=claims(exp=time.time() + 60.5, iat=time.time() - 0.5))
    yield "expired, within the skew of clocks", true_token(payload=claims(exp=int(time.time()) - 2))
    yield "signed a little in the future", true_token(payload=claims(iat=int(time.time()) + 2))
    yield "for several services", true_token(payload=claims(aud=["other", AUDIENCE]))
    yield "with claims that nobody knows", true_token(payload=claims(role={"a": [1, None]}, jti="7"))
    yield "of somebody with a long name", true_token(payload=claims(sub="Müller 株式会社"))
    yield "with blanks in its JSON", true_token(payload="\n" + json.dumps(claims(), indent=4) + " ")
    yield "of nearly 8 KiB", true_token(payload=claims(note="x" * 5700))
    text = signed_text({"alg": "ES256"}, claims())
    r, s = numbers(text)
    # ECDSA has two signatures for each: (r, s) and (r, n - s). ES256 asks for neither of them (RFC 7518, 3.4).
    yield "with the smaller s", f"{text}.{b64(raw(r, min(s, N - s)))}"
    yield "with the larger s", f"{text}.{b64(raw(r, max(s, N - s)))}"
    yield "with an r that begins with a zero", _with_short_numbers(0)
    yield "with an s that begins with a zero", _with_short_numbers(1)


def _with_short_numbers(which: int) -> str:
    text = signed_text({"alg": "ES256"}, claims())
    while True:
        found = numbers(text)
        if found[which] >> 248 == 0:
            return f"{text}.{b64(raw(*found))}"


def _without_signature() -> Named:
    spellings = ("none", "None", "NONE", "nOnE", "noNe", "none ", " none", "none\0", "nоne", "", "null", "No")
    true_signature = true_token().rpartition(".")[2]
    for algorithm in (*spellings, None, False, 0, [], ["none"], {"alg": "none"}):
        text = signed_text({"alg": algorithm, "typ": "JWT"}, claims())
        yield f"alg {algorithm!r}", f"{text}."
        yield f"alg {algorithm!r} beside a true signature of another", f"{text}.{true_signature}"
    yield "no alg", signed_text({"typ": "JWT"}, claims()) + "."
    yield "no alg, with a true signature", true_token({"typ": "JWT"})
    yield "ES256, and nothing", signed_text({"alg": "ES256"}, claims()) + "."


def public_forms() -> dict[str, bytes]:
    """Everything that a careless service might take for the secret of an HMAC."""
    public = KEY.public_key()
    encoding, form = serialization.Encoding, serialization.PublicFormat
    x, y = (value.to_bytes(32) for value in (public.public_numbers().x, public.public_numbers().y))
    jwk = {"kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y)}
    return {
        "PEM": PUBLIC,
        "PEM without its last newline": PUBLIC.rstrip(),
        "PEM with the newlines of Windows": PUBLIC.replace(b"\n", b"\r\n"),
        "base64 of the PEM": b"".join(PUBLIC.splitlines()[1:-1]),
        "DER": public.public_bytes(encoding.DER, form.SubjectPublicKeyInfo),
        "point": public.public_bytes(encoding.X962, form.UncompressedPoint),
        "compressed point": public.public_bytes(encoding.X962, form.CompressedPoint),
        "x and y": x + y,
        "JWK": json.dumps(jwk).encode(),
        "JWK without blanks": json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode(),
        "OpenSSH": public.public_bytes(encoding.OpenSSH, form.OpenSSH),
        "nothing": b"",
    }


def _keyed_with_the_public_key() -> Named:
    for bits in (256, 384, 512):
        for name, secret in public_forms().items():
            text = signed_text({"alg": f"HS{bits}", "typ": "JWT"}, claims())
            yield f"HS{bits}, {name}", f"{text}.{b64(hmac.digest(secret, text.encode(), f'sha{bits}'))}"
    text = signed_text({"alg": "ES256", "typ": "JWT"}, claims())
    yield "an HMAC that calls itself ES256", f"{text}.{b64(hmac.digest(PUBLIC, text.encode(), 'sha256'))}"
    yield "an HMAC of 64 bytes that calls itself ES256", f"{text}.{b64(hmac.digest(PUBLIC, text.encode(), 'sha512'))}"


@cache
def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _of_other_algorithms() -> Named:
    curves = {"ES384": ec.SECP384R1(), "ES512": ec.SECP521R1(), "ES256K": ec.SECP256K1()}
    for algorithm, curve in curves.items():
        yield algorithm, jwt.encode(claims(), ec.generate_private_key(curve), algorithm)
    for bits in (256, 384, 512):
        yield f"RS{bits}", jwt.encode(claims(), _rsa_key(), f"RS{bits}")
        yield f"PS{bits}", jwt.encode(claims(), _rsa_key(), f"PS{bits}")
    yield "EdDSA", jwt.encode(claims(), ed25519.Ed25519PrivateKey.generate(), "EdDSA")
    text = signed_text({"alg": "ES256"}, claims())
    yield (
        "RSA that calls itself ES256",
        f"{text}.{b64(_rsa_key().sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}",
    )
    secp256k1 = ec.generate_private_key(ec.SECP256K1())
    yield "secp256k1 that calls itself ES256", f"{text}.{b64(raw(*numbers(text, secp256k1)))}"
    for spelling in (
        "es256",
        "Es256",
        "ES256 ",
        " ES256",
        "ES256\0",
        "ES-256",
        "ESP256",
        "ＥＳ256",
        ["ES256"],
        -7,
        True,
    ):
        yield f"a true signature, alg {spelling!r}", true_token({"alg": spelling})
    for algorithm in ("ES384", "ES512", "ES256K", "HS256", "RS256", "EdDSA", "none"):
        yield f"a true signature of ES256 that calls itself {algorithm}", true_token({"alg": algorithm})
    for name, hash_algorithm in (
        ("SHA-384", hashes.SHA384()),
        ("SHA-512", hashes.SHA512()),
        ("SHA3", hashes.SHA3_256()),
    ):
        found = decode_dss_signature(KEY.sign(text.encode(), ec.ECDSA(hash_algorithm)))
        yield f"P-256 with {name} that calls itself ES256", f"{text}.{b64(raw(*found))}"


def _with_a_key_of_their_own() -> Named:
    mallory = ec.generate_private_key(ec.SECP256R1())
    jwk = jwt.algorithms.ECAlgorithm.to_jwk(mallory.public_key(), as_dict=True) | {"kid": "mallory"}
    der = mallory.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    brought: dict[str, Any] = {
        "jwk": jwk,
        "jku": "https://evil.example/keys.json",
        "x5u": "https://evil.example/key.pem",
        "x5c": [base64.b64encode(der).decode()],
        "x5t": b64(hashlib.sha1(der).digest()),  # noqa: S324  # that is what x5t is
        "x5t#S256": b64(hashlib.sha256(der).digest()),
        "kid": "mallory",
        "keys": [jwk],
    }
    yield "nothing beside it", jwt.encode(claims(), mallory, "ES256")
    for name, value in brought.items():
        yield name, jwt.encode(claims(), mallory, "ES256", {name: value})
    for kid in (
        "../../../dev/null",
        "/dev/null",
        "' UNION SELECT 'x",
        "key|id",
        "\0",
        "file:///dev/null",
        "*",
        "x" * 900,
    ):
        text = signed_text({"alg": "HS256", "kid": kid}, claims())
        yield f"kid {kid[:20]!r}, and an empty secret", f"{text}.{b64(hmac.digest(b'', text.encode(), 'sha256'))}"
        yield f"kid {kid[:20]!r}", jwt.encode(claims(), mallory, "ES256", {"kid": kid})
    for value in (None, 7, True, ["a"], {"a": 1}):
        yield f"a true signature, kid {value!r}", true_token({"alg": "ES256", "kid": value})
    for name in ("jwk", "jku", "x5u", "x5c"):
        yield f"a true signature, {name}", true_token({"alg": "ES256", name: brought[name]})


def _with_demands() -> Named:
    for crit in (["exp"], ["b64"], ["nothing-known"], [], "exp", None, ["alg"], [["exp"]], {"exp": True}):
        yield f"crit {crit!r}", true_token({"alg": "ES256", "crit": crit})
    yield "a known crit that is there", true_token({"alg": "ES256", "crit": ["b64"], "b64": True})
    for value in (False, True, 0, "false"):
        yield f"b64 {value!r}", true_token({"alg": "ES256", "b64": value})
    yield "b64 false, crit", true_token({"alg": "ES256", "b64": False, "crit": ["b64"]})
    header = part({"alg": "ES256", "b64": False, "crit": ["b64"]})
    bare = f"{header}.{json.dumps(claims(), separators=(',', ':'))}"
    yield "b64 false, crit, a bare payload", f"{bare}.{b64(raw(*numbers(bare)))}"
    detached = f"{header}."
    yield "b64 false, crit, no payload", f"{detached}.{b64(raw(*numbers(detached)))}"
    yield "zip", true_token({"alg": "ES256", "zip": "DEF"})
    yield "enc", true_token({"alg": "ES256", "enc": "A256GCM"})


def _in_other_encodings() -> Named:
    token = true_token()
    header, payload, signature = token.split(".")
    for position, name in enumerate(("header", "payload", "signature")):
        for pad in ("=", "==", "===", "%3D"):
            parts = [header, payload, signature]
            parts[position] += pad
            yield f"{name} with {pad}", ".".join(parts)
    yield "all parts padded as base64 wants it", ".".join(each + "=" * (-len(each) % 4) for each in token.split("."))
    # A signature of 64 bytes has 86 letters, whose last four bits say nothing: 15 other letters decode to the same.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(signature[-1])
    for loose in (1, 2, 8, 15):
        yield f"loose bits {loose:04b} in the signature", f"{header}.{payload}.{signature[:-1]}{alphabet[last | loose]}"
    for name, junk in (("a newline", "\n"), ("a blank", " "), ("a tab", "\t"), ("a NUL", "\0"), ("a star", "*")):
        yield f"{name} before", junk + token
        yield f"{name} behind", token + junk
        yield f"{name} in the signature", f"{header}.{payload}.{signature[:40]}{junk}{signature[40:]}"
        yield f"{name} in the payload", f"{header}.{payload[:10]}{junk}{payload[10:]}.{signature}"
    standard = next(each for each in _endlessly() if set("-_") & set(each.partition(".")[2]))
    yield "the letters + and /", standard.replace("-", "+").replace("_", "/")
    yield "a letter that looks like a", token.replace("a", "а", 1)
    yield "half a character", token[:-1] + "\ud800"
    yield "in quotes", f'"{token}"'
    yield "percent-encoded", token.replace(".", "%2E")
    yield "with its scheme twice", f"Bearer {token}"
    yield "twice, with a comma", f"{token}, {token}"
    yield "base64 of the whole token", b64(token.encode())
    yield "1 MB", token + "A" * 1_000_000
    yield "1 MB of dots", "." * 1_000_000
    yield "more than 8 KiB, truly signed", true_token(payload=claims(note="x" * 7000))


def _endlessly() -> Iterator[str]:
    while True:
        yield true_token()


def _in_other_shapes() -> Named:
    header, payload, signature = true_token().split(".")
    for name, parts in {
        "two parts": (header, payload),
        "one part": (header,),
        "four parts": (header, payload, signature, ""),
        "four parts, the signature twice": (header, payload, signature, signature),
        "five parts, as a JWE": (header, "", payload, signature, signature),
        "no header": ("", payload, signature),
        "no payload": (header, "", signature),
        "an empty part before": ("", header, payload, signature),
        "header and payload swapped": (payload, header, signature),
    }.items():
        yield name, ".".join(parts)
    yield "JSON serialization", json.dumps({"protected": header, "payload": payload, "signature": signature})
    yield "a token in a token", true_token({"alg": "ES256", "cty": "JWT"}, true_token())
    for value in ([], [claims()], "text", 1, True, None):
        yield f"a payload that is {str(value)[:10]}", true_token(payload=json.dumps(value))
        yield f"a header that is {str(value)[:10]}", true_token(header=json.dumps(value))
    for name, text in {"cut short": "{", "with a comma": '{"a":1,}', "with single quotes": "{'a': 1}"}.items():
        yield f"a payload {name}", true_token(payload=text)
        yield f"a header {name}", true_token(header=text)
    good = json.dumps(claims())
    yield "a payload and more", true_token(payload=good + "{}")
    yield "a payload nested 2000 deep", true_token(payload=good[:-1] + ', "a": ' + "[" * 2000 + "]" * 2000 + "}")
    yield "a header nested 2000 deep", true_token(header='{"alg": "ES256", "a": ' + "[" * 2000 + "]" * 2000 + "}")
    for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-8-sig"):
        yield f"a payload in {encoding}", _of_bytes(b'{"alg":"ES256"}', good.encode(encoding))
        yield f"a header in {encoding}", _of_bytes('{"alg":"ES256"}'.encode(encoding), good.encode())
    yield (
        "a payload that is not UTF-8",
        _of_bytes(b'{"alg":"ES256"}', good.replace("mallory", "\xff").encode("latin-1")),
    )
    yield "a header that is not UTF-8", _of_bytes(b'{"alg":"ES256","a":"\xff"}', good.encode())
    yield "an overlong sub", _of_bytes(b'{"alg":"ES256"}', good.encode().replace(b"mallory", b"\xc0\xaf"))


def _of_bytes(header: bytes, payload: bytes) -> str:
    text = f"{b64(header)}.{b64(payload)}"
    return f"{text}.{b64(raw(*numbers(text)))}"
