"""How deep a JSON text is nested, told without parsing it: parsers call themselves for each level."""

import re

MOST_DEPTH = 32
"""Requests of this service have a depth of two."""

# A string, or one bracket. A quote that is never closed ends the text, which is no JSON then.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|$)|[\[\]{}]', re.DOTALL)


def is_deeper(text: bytes, most: int) -> bool:
    """Whether the text opens more than ``most`` brackets within each other."""
    if text.count(b"[") + text.count(b"{") <= most:
        return False
    depth = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in b"[{":
            depth += 1
            if depth > most:
                return True
        elif token in b"]}":
            depth -= 1
    return False
