"""Whether an ONNX file points to other files.

ONNX Runtime opens such files by itself, for a graph given as bytes relative to the working directory, and their
content is covered by no hash.
"""

from media_inference.errors import CannotStart
from media_inference.runtime.wire_format import BYTES, Content, Span, fields

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


def refuse_external_data(graph: Content, model: str) -> None:
    """Raises `CannotStart` when a tensor of the graph lies in another file, or the bytes are no ONNX file."""
    try:
        external = _has_external_data(graph, Span(0, len(graph)), "model")
    except (IndexError, ValueError, RecursionError):
        raise CannotStart(f"model {model}: the file is not an ONNX graph") from None
    if external:
        raise CannotStart(f"model {model}: its graph keeps weights in another file; use one with the weights inside")


def _has_external_data(content: Content, message: Span, kind: str) -> bool:
    inside = _INSIDE[kind]
    for field in fields(content, message):
        if field.wire_type != BYTES:
            continue
        if kind == "tensor" and field.number == _EXTERNAL_DATA:
            return True
        if field.number in inside and _has_external_data(content, field.value, inside[field.number]):
            return True
    return False
