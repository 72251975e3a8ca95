"""The vector store that the settings ask for."""

from importlib import import_module
from pathlib import Path

from media_inference.errors import CannotStart
from media_inference.room import LEAST_ROOM
from media_inference.vectors.edge_store import EdgeStore
from media_inference.vectors.store import VectorStore


def open_vector_store(
    url: str | None, folder: Path, *, timeout: float = 10.0, min_free: int = LEAST_ROOM
) -> VectorStore:
    """The Qdrant server at ``url``, or the store embedded in ``folder`` when there is no url.

    ``timeout``: seconds that a server may take to answer; ``min_free``: bytes that the folder's disk must have left, or
    nothing is stored. Raises `CannotStart` as the stores do, and when the client
    for a server is not installed.
    """
    if url is None:
        return EdgeStore(folder, min_free)
    try:
        # Here and not above: the client is an optional extra, and takes a second to import.
        module = import_module("media_inference.vectors.server_store")
    except ModuleNotFoundError as error:
        raise CannotStart(
            "QDRANT_URL needs the Qdrant client, which is not installed: pip install 'media-inference[qdrant]'"
        ) from error
    store: VectorStore = module.ServerStore(url, timeout)
    return store
