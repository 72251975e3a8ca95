"""An ONNX file to the same graph without its large matrices, which the engine then maps from the file.

Given all bytes the engine copies each weight twice before it packs it for the processor. Only what it packs is left in
the file: second factors of products. It lets go of a factor once that is packed, so that a loaded session does not hang
on the file; other weights it would keep mapped.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from media_inference.runtime.wire_format import (
    BYTES,
    NUMBER,
    Content,
    Field,
    Span,
    bytes_field,
    fields,
    number,
    number_field,
    text,
)

LEAST = 1 << 20
"""Bytes of a matrix that is worth it."""

# Numbers of fields and values in onnx.proto
_GRAPH, _FUNCTION = 7, 25
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _SPARSE_INITIALIZER = 1, 5, 11, 12, 15
_NODE_INPUT, _OPERATOR, _ATTRIBUTE, _DOMAIN = 1, 4, 5, 7
_SUBGRAPH, _SUBGRAPHS = 6, 11
_VALUE_NAME = 1
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 8, 9, 13, 14
_FLOAT, _ELSEWHERE = 1, 1
_KEY, _VALUE = 1, 2

_PRODUCTS = ([b"MatMul"], [b"Gemm"])


class _Matrix(NamedTuple):
    tensor: Field
    numbers: Span


def without_matrices(content: Content, file_name: str) -> bytes | None:
    """The graph, its large matrices replaced by their places in the file ``file_name`` that ``content`` is.

    None where they are less than half of the file: the rest would be copied once more. None also for a graph that is
    not plain enough to tell what becomes of each matrix, or not sound: that the engine tells better.
    """
    try:
        return _without_matrices(content, file_name.encode())
    except (IndexError, ValueError):
        return None


def _without_matrices(content: Content, file_name: bytes) -> bytes | None:
    model = Span(0, len(content))
    graphs = list(_inside(content, model, _GRAPH))
    if len(graphs) != 1 or any(_inside(content, model, _FUNCTION)):
        return None
    (graph,) = graphs
    if not _is_plain(content, graph.value):
        return None
    matrices = list(_matrices(content, graph.value))
    if 2 * sum(matrix.numbers.length for matrix in matrices) < len(content):
        return None
    slim = bytes_field(_GRAPH, *_graph(content, graph.value, matrices, file_name))
    return b"".join((content[: graph.whole.start], *slim, content[graph.whole.end :]))


def _is_plain(content: Content, graph: Span) -> bool:
    """Whether all of its weights are dense, and no node has a graph of its own, which might use them too."""
    attributes = (
        attribute for node in _inside(content, graph, _NODE) for attribute in _inside(content, node.value, _ATTRIBUTE)
    )
    return not any(_inside(content, graph, _SPARSE_INITIALIZER)) and not any(
        field.number in (_SUBGRAPH, _SUBGRAPHS)
        for attribute in attributes
        for field in fields(content, attribute.value)
    )


def _matrices(content: Content, graph: Span) -> Iterator[_Matrix]:
    packed = _packed(content, graph)
    for tensor in _inside(content, graph, _INITIALIZER):
        if tensor.value.length < LEAST:
            continue
        parts = list(fields(content, tensor.value))
        names = _texts(content, tensor, _NAME)
        types = [number(content, part) for part in parts if part.number == _DATA_TYPE and part.wire_type == NUMBER]
        data = [part.value for part in parts if part.number == _RAW_DATA and part.wire_type == BYTES]
        is_matrix = types == [_FLOAT] and _dimensions(content, parts) == 2 and len(data) == len(names) == 1
        if is_matrix and data[0].length >= LEAST and names[0] in packed:
            yield _Matrix(tensor, data[0])


def _dimensions(content: Content, parts: Sequence[Field]) -> int:
    dims = [part for part in parts if part.number == _DIMS]
    single = sum(part.wire_type == NUMBER for part in dims)
    # Packed: the last byte of each number is below 128.
    return single + sum(byte < 0x80 for part in dims if part.wire_type == BYTES for byte in text(content, part))


def _packed(content: Content, graph: Span) -> set[bytes]:
    """Names of what is the second factor of one product and nothing else, least of all an input or an output."""
    uses: Counter[bytes] = Counter()
    factors = set[bytes]()
    for value in (*_inside(content, graph, _INPUT), *_inside(content, graph, _OUTPUT)):
        uses.update(_texts(content, value, _VALUE_NAME))
    for node in _inside(content, graph, _NODE):
        operands = _texts(content, node, _NODE_INPUT)
        uses.update(operands)
        if _texts(content, node, _OPERATOR) in _PRODUCTS and not any(_texts(content, node, _DOMAIN)):
            factors.update(operands[1:2])
    weights = Counter(
        name for tensor in _inside(content, graph, _INITIALIZER) for name in _texts(content, tensor, _NAME)
    )
    return {name for name in factors if uses[name] == weights[name] == 1}


def _graph(content: Content, graph: Span, matrices: Sequence[_Matrix], file_name: bytes) -> Iterator[bytes]:
    start = graph.start
    for tensor, numbers in matrices:
        yield content[start : tensor.whole.start]
        yield from bytes_field(_INITIALIZER, *_tensor(content, tensor.value, numbers, file_name))
        start = tensor.whole.end
    yield content[start : graph.end]


def _tensor(content: Content, tensor: Span, numbers: Span, file_name: bytes) -> Iterator[bytes]:
    for part in fields(content, tensor):
        if part.number not in (_RAW_DATA, _DATA_LOCATION):
            yield content[part.whole.start : part.whole.end]
    place = {b"location": file_name, b"offset": b"%d" % numbers.start, b"length": b"%d" % numbers.length}
    for key, value in place.items():
        yield from bytes_field(_EXTERNAL_DATA, *bytes_field(_KEY, key), *bytes_field(_VALUE, value))
    yield number_field(_DATA_LOCATION, _ELSEWHERE)


def _texts(content: Content, message: Field, wanted: int) -> list[bytes]:
    return [text(content, field) for field in _inside(content, message.value, wanted)]


def _inside(content: Content, message: Span, wanted: int) -> Iterator[Field]:
    """The fields of a message that have this number and hold a message or a text."""
    return (field for field in fields(content, message) if field.number == wanted and field.wire_type == BYTES)
