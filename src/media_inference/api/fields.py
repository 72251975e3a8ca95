"""The values that requests are made of: what is taken, and how the description says it."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from media_inference.jobs.job import MEDIA_STORE_ID

_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_LARGEST_POINT_ID = 2**64 - 1
LONGEST_TEXT = 1000


def _whole(value: object) -> object:
    """5.0 is an integer in JSON Schema, and some clients write it so; beyond 2**53 a float is no exact number."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53 else value


def _decimal_string(value: object) -> object:
    value = _whole(value)
    whole_number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return str(value) if whole_number else value


def _point_id(value: object) -> object:
    value = _whole(value)
    if isinstance(value, str) and _UUID.fullmatch(value):
        return value.lower()
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_POINT_ID:
        return value
    raise ValueError("should be an integer from 0 to 2**64 - 1, or a UUID")


def _some_words(value: str) -> str:
    if not value.strip():
        raise ValueError("should have words in it")
    return value


MediaStoreId = Annotated[
    str,
    BeforeValidator(_decimal_string),
    Field(pattern=f"^{MEDIA_STORE_ID.pattern}$"),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": f"^{MEDIA_STORE_ID.pattern}$"}, {"type": "integer", "minimum": 0}],
            "description": "Id of the picture in the media store. An integer is taken as its decimal string.",
        }
    ),
]
SearchPointId = Annotated[
    int | str,
    BeforeValidator(_point_id),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
                {"type": "string", "format": "uuid"},
            ],
            "description": "A point of this collection, as a job's result names it.",
        }
    ),
]
SearchText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_TEXT,
        description="What the pictures show, in English words. Some 50 words are read, the rest is not.",
        json_schema_extra={"pattern": r"\S"},
    ),
    AfterValidator(_some_words),
]
WholeNumber = Annotated[int, BeforeValidator(_whole)]
Coordinate = Annotated[float, Field(allow_inf_nan=False)]
