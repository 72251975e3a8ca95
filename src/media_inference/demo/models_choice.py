"""Which models the demo runs: the default ones where they can be had, else those that are built in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from media_inference.errors import CannotStart, DownloadFailed, HubUnreachable
from media_inference.models.catalog import MODELS
from media_inference.models.kinds import Kind
from media_inference.models.model import Model
from media_inference.processes.chosen_models import chosen_models
from media_inference.runtime import hub, weights
from media_inference.runtime.download import Patience, Progress
from media_inference.settings import Settings

BUILT_IN = {
    Kind.IMAGE_EMBEDDER: MODELS["gabor-512"],
    Kind.FACE_DETECTOR: MODELS["mtcnn"],
    Kind.FACE_EMBEDDER: MODELS["gabor-face-512"],
}
SETTINGS = {Kind.IMAGE_EMBEDDER: "IMAGE_MODEL", Kind.FACE_DETECTOR: "FACE_DETECTOR", Kind.FACE_EMBEDDER: "FACE_MODEL"}


_PATIENCE = Patience(pauses=(1.0,))  # there is something else to show


@dataclass(frozen=True, slots=True)
class ModelsChoice:
    """One model per kind; ``notice`` is one line about those that are not the default ones."""

    models: Mapping[Kind, Model]
    notice: str | None = None


def models_for(settings: Settings, progress: Progress) -> ModelsChoice:
    """The models that the settings name, pulled if need be; built-in ones for defaults that can't be had.

    Takes five seconds at most when there is no hub. Raises `CannotStart` when a model that the user named is unknown
    or can't be had.
    """
    named = {kind for kind, name in SETTINGS.items() if name.lower() in settings.model_fields_set}
    return choose_models(
        chosen_models(settings),
        named,
        on_disk=lambda model: weights.on_disk(model, settings.models_dir),
        pull=lambda model: hub.pull(model, settings.models_dir, progress, patience=_PATIENCE),
    )


def choose_models(
    wanted: Mapping[Kind, Model],
    named: set[Kind],
    *,
    on_disk: Callable[[Model], bool],
    pull: Callable[[Model], object],
) -> ModelsChoice:
    """The wanted models; those that are neither on disk nor to be pulled are replaced by built-in ones.

    ``pull`` raises `DownloadFailed`, or `HubUnreachable` within seconds. Raises `CannotStart` when a model of a kind
    that the user ``named`` can't be had.
    """
    refusals: dict[Kind, DownloadFailed] = {}
    unreachable: HubUnreachable | None = None
    for kind, model in wanted.items():
        if on_disk(model):
            continue
        try:
            if unreachable is not None:
                raise unreachable  # asking again would take as long again
            pull(model)
        except HubUnreachable as error:
            unreachable = refusals[kind] = error
        except DownloadFailed as error:
            refusals[kind] = error
        if kind in refusals and kind in named:
            raise _refused(kind, model, refusals[kind])
    models = {kind: BUILT_IN[kind] if kind in refusals else model for kind, model in wanted.items()}
    return ModelsChoice(models, _notice(wanted, refusals) if refusals else None)


def _refused(kind: Kind, model: Model, error: DownloadFailed) -> CannotStart:
    return CannotStart(
        f"{SETTINGS[kind]}={model.name} is not in MODELS_DIR and can't be downloaded ({error}): "
        "put its files there, or leave the setting out to try the demo with a built-in model"
    )


def _notice(wanted: Mapping[Kind, Model], refusals: Mapping[Kind, DownloadFailed]) -> str:
    swaps = ", ".join(f"{BUILT_IN[kind].name} for {wanted[kind].name}" for kind in refusals)
    reason = next(iter(refusals.values()))
    names = " ".join(wanted[kind].name for kind in refusals)
    return (
        f"Built-in models stand in ({swaps}), because the default ones can't be downloaded now: {reason}. "
        f"They show that everything works, not how good it gets; later: media-inference models pull {names}"
    )
