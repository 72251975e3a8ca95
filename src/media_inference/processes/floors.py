"""The oldest versions of libraries that are safe with what strangers send."""

import re

from media_inference.errors import CannotStart

# Below: published holes in decoders of pictures (Pillow, libheif) and in the checks of tokens (PyJWT).
FLOORS = {"Pillow": (13, 0, 0), "libheif": (1, 22), "PyJWT": (2, 15, 0)}


def checked(library: str, version: str) -> str:
    """The version with its floor. Raises `CannotStart` when it is below, or can't be read."""
    floor = FLOORS[library]
    least = ".".join(map(str, floor))
    if not _is_at_least(version, floor):
        raise CannotStart(f"{library} {version} is older than {least}, and not safe: upgrade it")
    return f"{version}, at least {least}"


def _is_at_least(version: str, floor: tuple[int, ...]) -> bool:
    """Of the leading numbers; what is not yet released counts as older than its release."""
    found = re.match(r"(\d+(?:\.\d+)*)(?P<early>[-_.]?(?:a|b|c|rc|alpha|beta|dev|pre)\d*)?", version)
    if found is None:
        return False
    numbers = tuple(map(int, found[1].split(".")))
    padded = numbers + (0,) * (len(floor) - len(numbers))
    return padded > floor if found["early"] and padded[: len(floor)] == floor else padded >= floor
