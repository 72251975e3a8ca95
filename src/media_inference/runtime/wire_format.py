"""The wire format of protobuf, which ONNX files are written in: walked in place, so that weights are not copied."""

from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

Content = bytes | mmap
"""A whole ONNX file."""

NUMBER, BYTES = 0, 2
"""Wire types: a number of any size, and a length with so many bytes."""

_LARGEST_KEY = (1 << 32) - 1
"""Parsers keep the lower 32 bits of a larger one: to them it is another field than to who keeps them all."""
_LONGEST_VARINT = 10


class Span(NamedTuple):
    """From one offset in the file to another."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Bytes from one to the other."""
        return self.end - self.start


class Field(NamedTuple):
    """A field of a message: ``whole`` with its key, ``value`` without."""

    number: int
    wire_type: int
    whole: Span
    value: Span


def fields(content: Content, message: Span) -> Iterator[Field]:
    """The fields of a message. Raises `ValueError` or `IndexError` for bytes that are none."""
    start = message.start
    while start < message.end:
        key, at = _varint(content, start)
        if key > _LARGEST_KEY:
            raise ValueError("a key is larger than any")
        at, end = _value(content, key & 7, at)
        if end > message.end:
            raise ValueError("a field is longer than its message")
        yield Field(key >> 3, key & 7, Span(start, end), Span(at, end))
        start = end


def number(content: Content, field: Field) -> int:
    """The value of a field of the type `NUMBER`."""
    return _varint(content, field.value.start)[0]


def text(content: Content, field: Field) -> bytes:
    """The value of a field of the type `BYTES`; copies it."""
    return content[field.value.start : field.value.end]


def bytes_field(number: int, *parts: bytes) -> Iterator[bytes]:
    """A field as it is written, its value in parts that are not copied."""
    yield _written(number << 3 | BYTES) + _written(sum(map(len, parts)))
    yield from parts


def number_field(number: int, value: int) -> bytes:
    """A field as it is written."""
    return _written(number << 3 | NUMBER) + _written(value)


def _value(content: Content, wire_type: int, at: int) -> tuple[int, int]:
    """Where the value of a field begins and ends whose key ends at ``at``."""
    match wire_type:
        case 0:
            return at, _varint(content, at)[1]
        case 1:
            return at, at + 8
        case 2:
            length, at = _varint(content, at)
            return at, at + length
        case 5:
            return at, at + 4
        case _:
            raise ValueError("unknown wire type")


def _varint(content: Content, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(content[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return value, at + place + 1
    raise ValueError("a number is longer than any")


def _written(value: int) -> bytes:
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])
