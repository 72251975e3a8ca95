"""The networks of a worker."""

from collections.abc import Iterable
from typing import cast

from media_inference.models.kinds import FaceDetector, FaceEmbedder, ImageEmbedder, Kind
from media_inference.processes.chosen_models import chosen_models
from media_inference.runtime.load import load_network
from media_inference.settings import Settings
from media_inference.tasks.toolbox import Toolbox


def load_toolbox(settings: Settings, threads: int) -> tuple[Toolbox, str]:
    """The networks, ready to work, and the device that they really run on; raises `CannotStart`."""
    loaded = {
        kind: load_network(model, settings.models_dir, threads) for kind, model in chosen_models(settings).items()
    }
    toolbox = Toolbox(
        image_embedder=cast(
            "ImageEmbedder", loaded[Kind.IMAGE_EMBEDDER].network
        ),  # `find_model` has looked at the kinds
        face_detector=cast("FaceDetector", loaded[Kind.FACE_DETECTOR].network),
        face_embedder=cast("FaceEmbedder", loaded[Kind.FACE_EMBEDDER].network),
    )
    return toolbox, device_of(one.provider for one in loaded.values())


def device_of(providers: Iterable[str]) -> str:
    """ONNX Runtime's execution providers as the names of devices: `CPUExecutionProvider` is ``cpu``."""
    return ", ".join(sorted({provider.removesuffix("ExecutionProvider").lower() for provider in providers}))
