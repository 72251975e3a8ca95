"""`models verify`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.text import Text

from media_inference.models.model import BuiltFile, Model, WeightsFile
from media_inference.processes.chosen_models import find_known, known_models
from media_inference.runtime.weights import FileState, check, locate
from media_inference.settings import Settings


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """One file of a model; ``fault`` is empty for one that is as it was pinned."""

    model: str
    file: str
    state: FileState
    fault: str

    def as_json(self) -> dict[str, object]:
        """As an object."""
        return asdict(self)


def verify_models(settings: Settings, names: Sequence[str]) -> list[VerifiedFile]:
    """Compares the files of the named models with their pins, or those of all models that have one on disk.

    Raises `CannotStart` for an unknown name.
    """
    there = [model for model in known_models(settings).values() if _has_a_file(model, settings)]
    models = [find_known(settings, name) for name in dict.fromkeys(names)] or there
    return [_verified(model, file, settings) for model in models for file in model.files]


def print_verified(files: Sequence[VerifiedFile]) -> None:
    """A line per file on stdout."""
    console = Console(highlight=False, soft_wrap=True)
    for file in files:
        line = Text(f"{file.model}/{file.file}: ").append(file.state, "green" if file.state is FileState.OK else "red")
        console.print(line.append(f" ({file.fault})" if file.fault else ""))


def _verified(model: Model, file: WeightsFile, settings: Settings) -> VerifiedFile:
    seen = check(model, file, settings.models_dir)
    return VerifiedFile(model.name, file.name, seen.state, seen.fault)


def _has_a_file(model: Model, settings: Settings) -> bool:
    return any(isinstance(file, BuiltFile) or locate(model, file, settings.models_dir).exists() for file in model.files)
