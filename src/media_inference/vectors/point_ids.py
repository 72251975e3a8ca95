"""The ids under which vectors are stored."""

import re
from uuid import UUID, uuid5

from media_inference.jobs.outcome import PointId

NAMESPACE = UUID("ac9d813a-bf71-4150-b2b3-e749787691f9")
"""Namespace of all UUID point ids. Chosen once: another value would orphan every point stored under such an id."""

LARGEST_INTEGER_ID = 9_007_199_254_740
"""Up to here ``id * 1000`` stays below 2**53, so programs that read JSON numbers as doubles keep the ids of faces."""

FACES_PER_IMAGE = 1000

_DECIMAL = re.compile(r"0|[1-9][0-9]*")
_LARGEST_PAYLOAD_INTEGER = 2**63 - 1  # Qdrant indexes integer payloads as signed 64 bit; JSON beyond turns to a float


def image_point_id(media_store_id: str) -> PointId:
    """Where the vector of a whole picture goes: the decimal id itself, else the UUIDv5 of the id."""
    number = _integer(media_store_id, LARGEST_INTEGER_ID)
    return str(uuid5(NAMESPACE, media_store_id)) if number is None else number


def face_point_id(media_store_id: str, index: int) -> PointId:
    """Where the vector of one face goes: ``id * 1000 + index``, else the UUIDv5 of ``id#index``.

    Raises `ValueError` for an index outside 0..999, which would be the id of another picture's face.
    """
    if not 0 <= index < FACES_PER_IMAGE:
        raise ValueError(f"a face index lies in 0..{FACES_PER_IMAGE - 1}, not at {index}")
    number = _integer(media_store_id, LARGEST_INTEGER_ID)
    return str(uuid5(NAMESPACE, f"{media_store_id}#{index}")) if number is None else number * FACES_PER_IMAGE + index


def payload_media_id(media_store_id: str) -> int | str:
    """The media_store_id as payloads carry it: an integer when nothing is lost by that, else the string.

    ``007`` and decimals above 2**63 - 1 stay strings: as numbers they could not be turned back into the id.
    """
    number = _integer(media_store_id, _LARGEST_PAYLOAD_INTEGER)
    return media_store_id if number is None else number


def _integer(text: str, largest: int) -> int | None:
    if _DECIMAL.fullmatch(text) is None:
        return None
    number = int(text)
    return number if number <= largest else None
