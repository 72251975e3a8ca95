"""photos in, faces and vectors out: an asynchronous AI inference service for media libraries."""

from importlib.metadata import version

__version__ = version("media-inference")
