"""Which licences the user accepted, by ``ACCEPT_MODEL_LICENSE``."""

from collections.abc import Iterable

from media_inference.errors import CannotStart
from media_inference.models.model import Model
from media_inference.settings import Settings


def may_be_used(model: Model, settings: Settings) -> bool:
    """Whether the licence of a model allows commercial use, or was accepted by its own name or the model's."""
    return model.licence.commercial_use or not _accepted(settings).isdisjoint({model.name, model.licence.name})


def refuse_unaccepted(model: Model, settings: Settings) -> None:
    """Raises `CannotStart` when a model may not be used: with what its licence forbids, and how to accept that."""
    if not may_be_used(model, settings):
        raise CannotStart(
            f"model {model.name}: its licence {model.licence.name} forbids {model.licence.forbids}; if that suits you, "
            f"accept it with ACCEPT_MODEL_LICENSE={','.join(sorted({*_accepted(settings), model.name}))}, "
            "else choose another model"
        )


def refuse_unknown_licences(settings: Settings, models: Iterable[Model]) -> None:
    """Raises `CannotStart` when a name in the setting is neither a model's nor a licence's, with those that need it."""
    every = list(models)
    known = {name for model in every for name in (model.name, model.licence.name)}
    if unknown := sorted(_accepted(settings) - known):
        restricted = [model for model in every if not model.licence.commercial_use]
        names = dict.fromkeys([*(model.licence.name for model in restricted), *(model.name for model in restricted)])
        raise CannotStart(
            f"ACCEPT_MODEL_LICENSE: expected names of licences or models, of {', '.join(names)}; "
            f"got {', '.join(map(repr, unknown))}"
        )


def _accepted(settings: Settings) -> frozenset[str]:
    return frozenset(map(str.strip, (settings.accept_model_license or "").split(","))) - {""}
