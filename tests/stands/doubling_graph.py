"""The smallest graph that does something."""

from media_inference.models.graphs.graph import Graph


def doubling_graph() -> bytes:
    """Twice ``x``, float32 of (batch, 3), as ``y``."""
    graph = Graph()
    graph.node("Mul", ["x", graph.scalar(2)], "y")
    return graph.serialised({"x": ["batch", 3]}, {"y": ["batch", 3]})
