"""All models, one import line per entry; users' own come from `models.custom`."""

from collections.abc import Sequence
from dataclasses import replace

from media_inference.errors import CannotStart
from media_inference.models.arcface import AURAFACE_V1, BUFFALO_L_FACE, BUFFALO_S_FACE
from media_inference.models.clip import CLIP_VIT_B_32, CLIP_VIT_B_32_INT8, CLIP_VIT_B_32_LAION2B
from media_inference.models.clip_text import CLIP_VIT_B_32_LAION2B_TEXT, CLIP_VIT_B_32_TEXT
from media_inference.models.gabor import GABOR_512, GABOR_FACE_512
from media_inference.models.kinds import Kind
from media_inference.models.model import HubFile, LocalFile, Model
from media_inference.models.mtcnn import MTCNN
from media_inference.models.scrfd import BUFFALO_L_DETECTOR
from media_inference.models.yunet import YUNET_2023MAR
from media_inference.registry import Registry

MODELS: Registry[Model] = Registry.of(Model, globals(), "model", key=lambda model: model.name)


def all_models(custom: Sequence[Model] = ()) -> Registry[Model]:
    """The catalogue and the users' own models; raises `CannotStart` when two have one name.

    A file keeps its licence, whatever its user's description calls it.
    """
    try:
        return Registry("model", [*MODELS.values(), *map(_rightly_licensed, custom)], key=lambda model: model.name)
    except ValueError as error:
        taken = [model.name for model in (*MODELS.values(), *custom)]
        files = ", ".join(model.source for model in custom if taken.count(model.name) > 1)
        raise CannotStart(f"custom models: {error}; rename yours in {files}") from None


def _rightly_licensed(custom: Model) -> Model:
    hashes = {file.sha256 for file in custom.files if isinstance(file, LocalFile)}
    for model in MODELS.values():
        if any(isinstance(file, HubFile) and file.sha256 in hashes for file in model.files):
            return replace(custom, licence=model.licence)
    return custom


def find_model(name: str, kind: Kind, custom: Sequence[Model] = ()) -> Model:
    """The model of that name and kind; raises `CannotStart` with a line that lists the ones there are."""
    models = all_models(custom)
    model = models.get(name)
    if model is not None and model.kind is kind:
        return model
    there_are = ", ".join(other.name for other in models.values() if other.kind is kind)
    fault = "no such model" if model is None else f"it is of the kind {model.kind}"
    raise CannotStart(f"{name!r} can't be the {kind}: {fault}; there are {there_are}")
