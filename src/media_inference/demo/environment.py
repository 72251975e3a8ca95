"""The environment of the demo's own service."""

from collections.abc import Mapping

from media_inference.demo.models_choice import SETTINGS
from media_inference.models.kinds import Kind
from media_inference.models.model import Model
from media_inference.settings import Settings

# What makes the demo private: where data, keys and pictures lie is not the caller's choice. Everything else is.
_PRIVATE = {
    "DATABASE_DIR",
    "DATABASE_URL",
    "STORAGE_DIR",
    "PUBLIC_KEY_PATH",
    "AUTH_DISABLED",
    "TOKEN_ISSUER",
    "TOKEN_AUDIENCE",
    "MEDIA_STORE_URL",
    "MEDIA_STORE_STUB",
    "MEDIA_STORE_TOKEN",
    "QDRANT_URL",
}


def private_environment(
    inherited: Mapping[str, str], settings: Settings, models: Mapping[Kind, Model]
) -> dict[str, str]:
    """``inherited`` without the service's settings, the caller's ``settings`` without the private ones, the models."""
    names = {name.upper() for name in Settings.model_fields}
    kept = {name: value for name, value in inherited.items() if name.upper() not in names}
    chosen = {name: value for name, value in settings.as_environment().items() if name not in _PRIVATE}
    if "log_format" not in settings.model_fields_set:
        chosen["LOG_FORMAT"] = "text"  # its last line may have to be shown to a person
    return kept | chosen | {SETTINGS[kind]: model.name for kind, model in models.items()}
