"""Tokens with a true signature whose claims, or header, can be read in two ways or say what none may say."""

import json
import time

from tests.stands.token_parts import Named, claims, true_token


def with_doubled_names() -> Named:
    good = json.dumps(claims())
    for name, value in (("is_admin", "true"), ("exp", "1"), ("sub", '"mallory"'), ("permissions", "[]")):
        yield f"{name} first", true_token(payload=f'{{"{name}": {value}, {good[1:]}')
        yield f"{name} last", true_token(payload=f'{good[:-1]}, "{name}": {value}}}')
    yield "one of them written with an escape", true_token(payload=f'{good[:-1]}, "\\u0065xp": 1}}')
    yield "deep inside", true_token(payload=f'{good[:-1]}, "a": [{{"b": 1, "b": 2}}]}}')
    yield "alg none, then ES256", true_token(header='{"alg": "none", "alg": "ES256"}')
    yield "alg ES256, then none", true_token(header='{"alg": "ES256", "alg": "none"}')
    yield "alg ES256 twice", true_token(header='{"alg": "ES256", "alg": "ES256"}')
    yield "kid twice", true_token(header='{"alg": "ES256", "kid": "a", "kid": "b"}')


def with_wrong_times() -> Named:
    now = int(time.time())
    good = json.dumps(claims(exp=None))[:-1]
    yield "no exp", true_token(payload=good + "}")
    for text in (
        *('"4000000000"', "true", "false", "null", "NaN", "Infinity", "-Infinity", "1e999", "-1", "0", "-0.0", "1"),
        *("[]", "{}", f"[{now + 60}]", f'"{now + 60}"', f'" {now + 60}"', f'"{now + 60}.5"', '"never"', '""', "1e3"),
        *(f"{now - 6}", f"{now - 3600}", f"{now + 10 * 366 * 86_400}", "253402300800", "1e12", "1e308", "9" * 400),
        *("18446744073709551616", f"{(now + 600) * 1000}", f"0x{now + 60:x}", f"0{now + 60}", f"+{now + 60}"),
    ):
        yield f"exp {text[:24]}", true_token(payload=f'{good}, "exp": {text}}}')
    never: tuple[object, ...] = (now + 60, now + 4_000_000_000, str(now - 60), "", True, [now], {}, 1e300, float("inf"))
    for name in ("nbf", "iat"):
        for value in never:
            yield f"{name} {str(value)[:24]}", true_token(payload=claims(**{name: value}))
        yield f"{name} null", true_token(payload=f'{json.dumps(claims(iat=None))[:-1]}, "{name}": null}}')
        yield f"{name} NaN", true_token(payload=claims(**{name: float("nan")}))


def with_wrong_claims() -> Named:
    wrong: dict[str, tuple[object, ...]] = {
        "iss": ("", "Photos", "photos ", "photos\0", "photo", ["photos"], {"photos": 1}, 1, True),
        "aud": (
            "",
            "Inference",
            "inference ",
            [],
            ["other"],
            [["inference"]],
            ["inference", 1],
            {"inference": 1},
            1,
            True,
        ),
        "sub": ("", 0, 7, True, [], ["mallory"], {}, "a\nb", "a\0b", "\ud800", "\x1b[2J", "a\u2028b", "\u202eyrollam"),
        "permissions": ("ai_inference_support", {"ai_inference_support": True}, 1, True, [1], ["a", None], [["a"]], ""),
        "is_admin": ("true", "false", 1, 0, [], [True], {}, "", 1.0),
        "jti": (7, ["7"]),
    }
    for name, values in wrong.items():
        for value in values:
            yield f"{name} {value!r}", true_token(payload=claims(**{name: value}))
    for name in ("iss", "aud", "sub"):
        yield f"no {name}", true_token(payload=claims(**{name: None}))
    for name in ("iss", "aud", "sub", "permissions", "is_admin", "jti"):
        rest = json.dumps(claims(**{name: None}))
        yield f"{name} null", true_token(payload=f'{rest[:-1]}, "{name}": null}}')
