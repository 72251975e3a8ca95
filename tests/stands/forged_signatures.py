"""Signatures that are none, or not of what they are with: the edges at which verifiers of ECDSA have gone wrong.

The cases follow the idea of Wycheproof (edges of r and s, of the hash, of encodings); all of them are made here.
"""

import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature

from tests.stands.p256 import GX, N, P
from tests.stands.token_parts import KEY, Named, b64, claims, numbers, raw, signed_text


def with_wrong_signatures() -> Named:
    text = signed_text({"alg": "ES256", "typ": "JWT"}, claims())
    r, s = numbers(text)
    good = raw(r, s)
    other = signed_text({"alg": "ES256", "typ": "JWT"}, claims(is_admin=False))
    yield "of another payload", f"{text}.{b64(raw(*numbers(other)))}"
    yield "of the payload alone", f"{text}.{b64(raw(*numbers(text.partition('.')[2])))}"
    digest = KEY.sign(
        hashlib.sha256(hashlib.sha256(text.encode()).digest()).digest(), ec.ECDSA(Prehashed(hashes.SHA256()))
    )
    yield "of a hash of the hash", f"{text}.{b64(raw(*decode_dss_signature(digest)))}"
    for position in (0, 1, 31, 32, 33, 63):
        for bit in (0, 7):
            changed = bytearray(good)
            changed[position] ^= 1 << bit
            yield f"bit {bit} of byte {position} turned", f"{text}.{b64(bytes(changed))}"
    for length in (0, 1, 31, 32, 62, 63):
        yield f"cut to {length} bytes", f"{text}.{b64(good[:length])}"
    for name, tail in (("a zero more", b"\0"), ("a byte more", b"\x01"), ("twice", good), ("32 zeros more", bytes(32))):
        yield name, f"{text}.{b64(good + tail)}"
    yield "a zero before it", f"{text}.{b64(bytes(1) + good)}"
    yield "r and s as 33 bytes each", f"{text}.{b64(r.to_bytes(33) + s.to_bytes(33))}"
    yield "the other byte order", f"{text}.{b64(r.to_bytes(32, 'little') + s.to_bytes(32, 'little'))}"
    yield "hexadecimal", f"{text}.{b64(good.hex().encode())}"
    yield "DER", f"{text}.{b64(encode_dss_signature(r, s))}"
    yield "DER of the other s", f"{text}.{b64(encode_dss_signature(r, N - s))}"
    yield "DER, cut to 64 bytes", f"{text}.{b64(encode_dss_signature(r, s)[:64])}"
    long_length = bytes((0x30, 0x81)) + encode_dss_signature(r, s)[1:]
    yield "DER with a long length", f"{text}.{b64(long_length)}"


def with_edges_of_numbers() -> Named:
    """r and s where a careless verifier divides by zero, forgets a bound or reduces first."""
    text = signed_text({"alg": "ES256"}, claims())
    r, s = numbers(text)
    top = (1 << 256) - 1
    edges = {
        "0": 0,
        "1": 1,
        "2": 2,
        "n-1": N - 1,
        "n": N,
        "n+1": N + 1,
        "p": P,
        "p-n": P - N,
        "2^256-1": top,
        "n/2": N // 2,
    }
    for first, r_edge in edges.items():
        for second, s_edge in edges.items():
            yield f"r = {first}, s = {second}", f"{text}.{b64(raw(r_edge, s_edge))}"
    for name, edge in edges.items():
        yield f"r = {name}", f"{text}.{b64(raw(edge, s))}"
        yield f"s = {name}", f"{text}.{b64(raw(r, edge))}"
    swapped = {"r and s swapped": (s, r), "n - r": (N - r, s), "both negated": (N - r, N - s), "r of G": (GX, s)}
    x = KEY.public_key().public_numbers().x
    swapped |= {"r of the key": (x % N, s), "r = s = x of the key": (x % N, x % N), "s inverted": (r, pow(s, -1, N))}
    for name, (new_r, new_s) in swapped.items():
        yield name, f"{text}.{b64(raw(new_r, new_s))}"
    # r + n and s + n are the same numbers, which fit into 32 bytes only where they are small: 33 bytes show the rest.
    yield "r + n in 33 bytes", f"{text}.{b64((r + N).to_bytes(33) + s.to_bytes(32))}"
    yield "s + n in 33 bytes", f"{text}.{b64(r.to_bytes(32) + (s + N).to_bytes(33))}"
    yield "r + n modulo 2^256", f"{text}.{b64(raw((r + N) & top, s))}"
    yield "r - n modulo 2^256", f"{text}.{b64(raw((r - N) & top, s))}"
    yield "s - n modulo 2^256", f"{text}.{b64(raw(r, (s - N) & top))}"
    yield from _of_hashes_that_are_nothing(text)


def _of_hashes_that_are_nothing(text: str) -> Named:
    """True signatures of the numbers that a hash becomes when it is lost, cut or reduced."""
    digest = hashlib.sha256(text.encode()).digest()
    hashes_lost = {
        "0": bytes(32),
        "1": (1).to_bytes(32),
        "n": N.to_bytes(32),
        "n-1": (N - 1).to_bytes(32),
        "2^256-1": b"\xff" * 32,
        "its first half": digest[:16] + bytes(16),
        "its bytes backwards": digest[::-1],
        "that of nothing": hashlib.sha256(b"").digest(),
    }
    for name, lost in hashes_lost.items():
        found = decode_dss_signature(KEY.sign(lost, ec.ECDSA(Prehashed(hashes.SHA256()))))
        yield f"a hash of {name}", f"{text}.{b64(raw(*found))}"
    # For e = 0, r = s = x(Q) mod n verifies without the private key: u1 = 0, u2 = 1, so the point is Q itself.
    x = KEY.public_key().public_numbers().x % N
    yield "what verifies a hash of 0 for everybody", f"{text}.{b64(raw(x, x))}"
