"""The networks of a worker."""

import threading
from collections.abc import Iterable
from typing import cast

from media_inference.models.kinds import FaceDetector, FaceEmbedder, ImageEmbedder, Kind
from media_inference.models.looks import Looks
from media_inference.processes.chosen_models import chosen_models
from media_inference.runtime.batcher import Batcher
from media_inference.runtime.helpers import Passes
from media_inference.runtime.load import load_network
from media_inference.runtime.resting_session import rest_when_idle
from media_inference.settings import Settings
from media_inference.tasks.toolbox import Toolbox


def load_toolbox(
    settings: Settings, threads: int, batcher: Batcher | None = None, passes: Passes | None = None
) -> tuple[Toolbox, str]:
    """The networks, ready to work, and the device that they really run on; raises `CannotStart`.

    ``threads`` for a pass that runs alone; those of several passes of a network share all but one, and ``passes`` may
    hold some then. With a ``batcher`` jobs share passes. With `MODEL_TTL` a thread lets their engines go while there is
    no work.
    """
    loaded = {
        kind: load_network(
            model,
            settings.models_dir,
            threads,
            device=settings.device,
            ttl=settings.model_ttl,
            batcher=batcher,
            passes=passes,
        )
        for kind, model in chosen_models(settings).items()
    }
    toolbox = Toolbox(
        image_embedder=cast(
            "ImageEmbedder", loaded[Kind.IMAGE_EMBEDDER].network
        ),  # `find_model` has looked at the kinds
        face_detector=Looks(cast("FaceDetector", loaded[Kind.FACE_DETECTOR].network), tiles=settings.face_tiles),
        face_embedder=cast("FaceEmbedder", loaded[Kind.FACE_EMBEDDER].network),
    )
    resting = [session for one in loaded.values() for session in one.resting]
    if resting:
        arguments = (resting, threading.Event())
        threading.Thread(target=rest_when_idle, args=arguments, name="model-rest", daemon=True).start()
    return toolbox, device_of(one.provider for one in loaded.values())


def device_of(providers: Iterable[str]) -> str:
    """ONNX Runtime's execution providers as the names of devices: `CPUExecutionProvider` is ``cpu``."""
    return ", ".join(sorted({provider.removesuffix("ExecutionProvider").lower() for provider in providers}))
