"""P-256 in plain numbers, to make keys and signatures at its edges (FIPS 186-4, SEC 1). Slow, and not secret at all."""

from cryptography.hazmat.primitives.asymmetric import ec

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # order of the base point
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF  # its field
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
GX = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
GY = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5

Point = tuple[int, int] | None
"""None is the point at infinity."""


def add(one: Point, other: Point) -> Point:
    """The sum of two points."""
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, P) if one == other else (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def times(factor: int, point: Point) -> Point:
    """A multiple of a point."""
    total: Point = None
    for bit in f"{factor:b}":
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return total


def point_at_or_above(x: int) -> tuple[int, int]:
    """The first point whose x is that large; p is 3 modulo 4, so a root is a power."""
    while True:
        square = (x**3 - 3 * x + B) % P
        y = pow(square, (P + 1) // 4, P)
        if y * y % P == square:
            return x, y
        x += 1


def key_for(point: tuple[int, int], digest: int, s: int) -> ec.EllipticCurvePublicKey:
    """The key by which ``(x of the point mod n, s)`` truly signs a hash: Q = (s * R - e * G) / r (SEC 1, 4.1.6)."""
    r = point[0] % N
    found = times(pow(r, -1, N), add(times(s, point), times(-digest % N, (GX, GY))))
    assert found is not None
    return ec.EllipticCurvePublicNumbers(*found, ec.SECP256R1()).public_key()
