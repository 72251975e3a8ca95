"""The encodings of tokens and key sets (RFC 7515, RFC 7517), each with one reading only.

What two programs may read in two ways, a forger can let one of them check and the other one use: so padded or sloppy
base64url, a name that comes twice in an object, NaN, and anything but UTF-8 are all errors here.
"""

import base64
import json
import re
from typing import Any, NoReturn

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


def decode_base64url(text: str) -> bytes:
    """The bytes; raises `ValueError` unless ``text`` is the only way to write them."""
    if _BASE64URL.fullmatch(text) is None:
        raise ValueError("not base64url without padding")
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode_base64url(content) != text:
        raise ValueError("bits are left over at the end of base64url")
    return content


def encode_base64url(content: bytes) -> str:
    """The text, without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def read_object(content: bytes) -> dict[str, Any]:
    """The JSON object that the bytes are; raises `ValueError` for anything else."""
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_without_doubles, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("JSON that is not an object")  # noqa: TRY004  # the caller gets one kind of error
    return value


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name that comes twice in a JSON object")
    return values


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN or Infinity in JSON")
