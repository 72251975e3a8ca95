"""The demo's own failure."""

from media_inference.errors import MediaInferenceError


class DemoFailed(MediaInferenceError):
    """The demo could not be finished; one line for whoever started it, exit code 1."""
