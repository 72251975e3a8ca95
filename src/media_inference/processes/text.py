"""How this service turns the texts of searches into vectors."""

import os
import sys

import structlog

from media_inference.errors import CannotStart, NoTextTower, TextTowerUnusable
from media_inference.models.model import HubFile, Model
from media_inference.processes.chosen_models import find_text_tower
from media_inference.processes.text_child import TextChild
from media_inference.processes.text_search import TextSearch
from media_inference.runtime.weights import on_disk
from media_inference.settings import Settings

log = structlog.get_logger()


def open_text_search(settings: Settings) -> TextSearch:
    """Texts to vectors of the chosen image model's text tower. Nothing is loaded before the first text."""
    return TextSearch(
        lambda: _usable_tower(settings),
        lambda tower: _launch(tower, settings),
        patience=settings.text_timeout,
        ttl=settings.model_ttl,
    )


def _usable_tower(settings: Settings) -> str:
    """Looked at before each start of the process, so that a tower may be pulled while the service runs."""
    try:
        tower = find_text_tower(settings)
    except CannotStart as error:
        log.warning("text_tower.unknown", action="start", error=str(error))
        raise TextTowerUnusable("The text tower can't be used as it is; `media-inference doctor` says why.") from error
    if tower is None:
        raise NoTextTower(f"The image model {settings.image_model} has no text tower: ask by a picture or a vector.")
    if not on_disk(tower, settings.models_dir):
        raise TextTowerUnusable(f"The text tower {tower.name} is not on disk; {_way_to_get(tower)}.")
    return tower.name


def _way_to_get(tower: Model) -> str:
    if any(isinstance(file, HubFile) for file in tower.files):
        return f"get it with `media-inference models pull {tower.name}`"
    return "put its files beside its description"


def _launch(tower: str, settings: Settings) -> TextChild:
    command = [sys.executable, "-m", "media_inference.processes.text_process", tower]
    return TextChild(command, os.environ | settings.as_environment())
