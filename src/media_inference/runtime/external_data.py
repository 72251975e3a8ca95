"""Whether an ONNX file points to other files.

ONNX Runtime opens such files by itself, for a graph given as bytes relative to the working directory, and their
content is covered by no hash. The file is walked as protobuf wire format, which skips weights instead of copying them.
"""

from collections.abc import Iterator

from media_inference.errors import CannotStart

# message -> field number -> message of that field, on the way from a model to its tensors (onnx.proto)
_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA = 13
_LARGEST_KEY = (1 << 32) - 1
"""Parsers keep the lower 32 bits of a larger one: to them it is another field than to who keeps them all."""
_LONGEST_VARINT = 10


def refuse_external_data(graph: bytes, model: str) -> None:
    """Raises `CannotStart` when a tensor of the graph lies in another file, or the bytes are no ONNX file."""
    try:
        external = _has_external_data(memoryview(graph), "model")
    except (IndexError, ValueError, RecursionError):
        raise CannotStart(f"model {model}: the file is not an ONNX graph") from None
    if external:
        raise CannotStart(f"model {model}: its graph keeps weights in another file; use one with the weights inside")


def _has_external_data(message: memoryview, kind: str) -> bool:
    inside = _INSIDE[kind]
    for field, content in _fields(message):
        if kind == "tensor" and field == _EXTERNAL_DATA:
            return True
        if field in inside and _has_external_data(content, inside[field]):
            return True
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of a message that have a length; numbers are passed over."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key > _LARGEST_KEY:
            raise ValueError("a key is larger than any")
        match key & 7:
            case 0:
                _, at = _varint(message, at)
            case 1:
                at += 8
            case 2:
                length, at = _varint(message, at)
                if at + length > len(message):
                    raise ValueError("a field is longer than its message")
                yield key >> 3, message[at : at + length]
                at += length
            case 5:
                at += 4
            case _:
                raise ValueError("unknown wire type")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return value, at + place + 1
    raise ValueError("a number is longer than any")
