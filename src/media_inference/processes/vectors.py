"""The vector store of a process."""

from media_inference.settings import Settings
from media_inference.vectors.catalog import open_vector_store
from media_inference.vectors.store import VectorStore


def open_vectors(settings: Settings) -> VectorStore:
    """The vector store that the settings name; raises `CannotStart`."""
    return open_vector_store(
        settings.qdrant_url,
        settings.qdrant_dir,
        timeout=settings.qdrant_timeout,
        min_free=settings.min_free_bytes,
    )
